from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare_artifacts
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts, Leaf, Tolerance, TolerancePolicy, Verdict


def compare(actual, expected, policy=None, **options):
    return compare_artifacts(capture_tree(actual), capture_tree(expected), TolerancePolicy.of(policy), **options)


def kinds(comparison):
    return {d.artifact: d.kind for d in comparison.differences}


def test_equal_trees_are_identical_and_counted():
    tree = {"w": np.zeros((2, 3)), "m": {"acc": 0.5}}
    found = compare(tree, tree)
    assert (found.verdict, found.artifacts, found.elements) == (Verdict.IDENTICAL, 2, 7)


def test_the_order_of_a_dict_does_not_matter():
    assert compare({"a": 1, "b": 2}, {"b": 2, "a": 1}).is_identical


@pytest.mark.parametrize("empty", [{}, [], {"a": {}, "b": []}])
def test_nothing_to_compare_is_inconclusive(empty):
    found = compare(empty, empty)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert not found


def test_empty_containers_of_different_types_differ():
    assert compare({}, []).verdict is Verdict.DIVERGED
    assert compare({"a": []}, {"a": {}}).verdict is Verdict.DIVERGED
    assert compare({"a": 1, "b": []}, {"a": 1}).verdict is Verdict.DIVERGED


def test_missing_and_extra_artifacts_are_reported_with_differing_ones():
    found = compare({"a": 1, "c": 3, "d": 4.0}, {"a": 2, "b": 2, "d": 4.0})
    assert kinds(found) == {"a": "values", "b": "missing", "c": "extra"}
    assert found.artifacts == 4
    assert [d.artifact for d in found.divergences] == ["b", "c", "a"]


def test_every_leaf_of_a_missing_branch_is_reported_once():
    assert kinds(compare({"x": 1}, {"x": 1, "y": {"a": 1, "b": {"c": 2}}})) == {"y/a": "missing", "y/b/c": "missing"}


@pytest.mark.parametrize(
    "actual, expected, kind",
    [
        ([1.0], (1.0,), "structure"),
        ({"a": {"b": 1}}, {"a": 1}, "structure"),
        (np.float32(1), 1.0, "type"),
        (1, 1.0, "type"),
        (True, 1, "type"),
        (np.zeros(2), np.zeros(2, np.float32), "dtype"),
        (np.zeros(2), np.zeros(2, ">f8"), "dtype"),
        (np.zeros((2, 1)), np.zeros(2), "shape"),
        (np.zeros((0, 2)), np.zeros((2, 0)), "shape"),
        (np.array(["a"]), np.array(["ab"]), "dtype"),
        (np.array([np.nan]), np.array([1.0]), "nan"),
        (np.array([np.inf]), np.array([1.0]), "values"),
        ("a", "b", "values"),
        (b"a", b"b", "values"),
        (None, "None", "type"),
        (1 + 2j, 1 + 3j, "values"),
        (0.0, -0.0, "values"),
        (10**400, 10**400 + 1, "values"),
    ],
)
def test_each_kind_of_difference_is_named_and_no_bound_admits_another_type_dtype_or_shape(actual, expected, kind):
    found = compare({"x": actual}, {"x": expected})
    assert kinds(found)[min(kinds(found))] == kind
    assert found.verdict is Verdict.DIVERGED
    if kind in ("structure", "type", "dtype", "shape", "nan"):
        lax = Tolerance(max_ulp=2**70, rtol=1e9, atol=1e9)
        assert compare({"x": actual}, {"x": expected}, lax).verdict is Verdict.DIVERGED


def leaf(data, traits=()):
    data = np.asarray(data, np.float32)
    return Artifacts({"w": Leaf("array", data, "Tensor", "float32", data.shape, traits)})


def test_a_differing_trait_is_named_and_the_values_are_compared_too():
    left, right = (("device", "cuda:0"), ("requires_grad", "True")), (("device", "cpu"), ("requires_grad", "True"))
    (same,) = compare_artifacts(leaf([1, 2], left), leaf([1, 2], right)).differences
    assert (same.kind, same.actual, same.expected) == ("type", "device=cuda:0", "device=cpu")
    assert same.note == "device differs; the values are identical"
    lax = TolerancePolicy.of(Tolerance(atol=9.0))
    (other,) = compare_artifacts(leaf([1, 3], left), leaf([1, 2], right), lax).differences
    assert (other.differing, other.within, other.note) == (1, False, "device differs; the values differ too")


def test_an_ignored_trait_may_differ():
    left, right = (("device", "cuda:0"),), (("device", "cpu"),)
    assert compare_artifacts(leaf([1], left), leaf([1], right), ignored_traits=["device"]).is_identical
    assert compare_artifacts(leaf([1]), leaf([1], right), ignored_traits=["device"]).is_identical
    more = (*left, ("layout", "sparse"))
    assert not compare_artifacts(leaf([1], more), leaf([1], right), ignored_traits=["device"])


def test_the_first_glob_that_matches_decides():
    actual, expected = {"metrics": {"a": 1.001}, "w": 1.001}, {"metrics": {"a": 1.0}, "w": 1.0}
    found = compare(actual, expected, {"metrics/*": Tolerance(rtol=0.01), "*": Tolerance()})
    assert {d.artifact: d.within for d in found.differences} == {"metrics/a": True, "w": False}
    assert compare(actual, expected, {"*": Tolerance(rtol=0.01)}).verdict is Verdict.WITHIN_TOLERANCE


def test_a_glob_without_match_is_rejected_with_similar_names():
    with pytest.raises(UsageError, match=r"'metric/\*' matches no artifact; close names: 'metrics/acc'"):
        compare({"metrics": {"acc": 1.0}}, {"metrics": {"acc": 1.0}}, {"metric/*": Tolerance(rtol=1)})


@pytest.mark.parametrize(
    "bound, within",
    [
        (Tolerance(max_ulp=1), False),
        (Tolerance(atol=2.0), True),
        (Tolerance(atol=1.9), False),
        (Tolerance(rtol=0.2), True),
        (Tolerance(rtol=0.19), False),
    ],
)
def test_python_integers_are_admitted_by_rtol_and_atol_only(bound, within):
    assert bool(compare(12, 10, bound)) == within


def test_python_floats_count_ulps_of_float64():
    (found,) = compare(math.nextafter(1.0, 2), 1.0).differences
    assert (found.max_ulp, found.minimum) == (1, "max_ulp=1 (or atol=2.3e-16, rtol=2.3e-16)")
    assert compare(math.nextafter(1.0, 2), 1.0, Tolerance(max_ulp=1)).verdict is Verdict.WITHIN_TOLERANCE


@pytest.mark.parametrize(
    "actual, expected",
    [
        (np.float32([1.0, 2.5]), np.float32([1.0, 2.0])),
        (np.float64([1.0, 1e-310]), np.float64([1.0, 3e-310])),
        (np.float64([1 / 3, 1e300]), np.float64([0.3333, 1.1e300])),
        (np.int64([5, 9]), np.int64([5, 2])),
        (0.1, 0.3),
        (7, 12),
        (np.float16([1.0, -0.0]), np.float16([1.0, 0.0])),
        (np.complex64([1 + 1j]), np.complex64([1 + 2j])),
    ],
)
def test_each_reported_minimum_would_have_passed(actual, expected):
    (found,) = compare({"x": actual}, {"x": expected}).differences
    options = found.minimum.replace("(or ", "").replace(")", "").replace(",", "").split()
    assert options
    for option in options:
        name, value = option.split("=")
        bound = Tolerance(**{name: int(value) if name == "max_ulp" else float(value)})
        assert compare({"x": actual}, {"x": expected}, bound).verdict is Verdict.WITHIN_TOLERANCE, option


def test_a_norm_bound_applies_to_the_array_and_caps_each_element():
    expected = np.ones(10_000)
    actual = expected + 1e-7
    assert compare(actual, expected, Tolerance(norm=1.1e-7)).verdict is Verdict.WITHIN_TOLERANCE
    assert compare(actual, expected, Tolerance(norm=0.9e-7)).verdict is Verdict.DIVERGED
    broken = expected.copy()
    broken[17] = 1.001  # a norm of 1e-5, but 100 times what one element may have
    assert compare(broken, expected, Tolerance(norm=1.1e-5)).verdict is Verdict.WITHIN_TOLERANCE
    broken[17] = 1.002
    assert compare(broken, expected, Tolerance(norm=2.1e-5, norm_cap=90)).verdict is Verdict.DIVERGED


def test_a_norm_and_an_elementwise_bound_must_both_hold():
    expected, actual = np.ones(100), np.ones(100) + 1e-6
    assert compare(actual, expected, Tolerance(rtol=1e-5, norm=1e-7)).verdict is Verdict.DIVERGED
    assert compare(actual, expected, Tolerance(rtol=1e-7, norm=1e-5)).verdict is Verdict.DIVERGED
    assert compare(actual, expected, Tolerance(rtol=1e-5, norm=1e-5)).verdict is Verdict.WITHIN_TOLERANCE


def test_a_norm_admits_neither_nan_nor_infinity():
    expected = np.ones(1000)
    for value in (np.nan, np.inf):
        actual = expected + 1e-9
        assert compare(actual, expected, Tolerance(norm=1.0)).verdict is Verdict.WITHIN_TOLERANCE
        actual[3] = value
        assert compare(actual, expected, Tolerance(norm=1.0)).verdict is Verdict.DIVERGED


def test_any_elementwise_bound_admits_an_element():
    expected, actual = np.array([1.0, 0.0]), np.array([np.nextafter(1.0, 2), 1e-9])
    assert compare(actual, expected, Tolerance(max_ulp=1)).verdict is Verdict.DIVERGED
    assert compare(actual, expected, Tolerance(max_ulp=1, atol=1e-9)).verdict is Verdict.WITHIN_TOLERANCE


def test_no_bound_admits_a_change_of_bool_or_text():
    lax = Tolerance(max_ulp=10, rtol=10.0, atol=10.0, norm=10.0)
    for actual, expected in (
        (True, False),
        ("a", "b"),
        (np.array([True]), np.array([False])),
        (np.array(["a"]), np.array(["b"])),
    ):
        assert compare({"x": actual}, {"x": expected}, lax).verdict is Verdict.DIVERGED


def test_a_container_is_not_equal_to_a_key_with_a_slash() -> None:
    flat, nested = capture_tree({"a/b": 1}), capture_tree({"a": {"b": 1}})
    assert [d.artifact for d in compare_artifacts(flat, nested).divergences] == ["a"]
    assert [d.artifact for d in compare_artifacts(nested, flat).divergences] == ["a"]


@given(st.sets(st.text("ab/", max_size=5), max_size=8), st.sets(st.text("ab/", max_size=5), max_size=4))
def test_a_container_is_reported_unless_an_artifact_below_it_is(own, other):
    sides = [Artifacts({path: Leaf("node", None, "dict") for path in paths}) for paths in (own, other)]
    missing = [path for path in own if path not in other]
    expected = {
        path for path in missing if not any(c.startswith(f"{path}/" if path else "") for c in missing if c != path)
    }
    found = compare_artifacts(*reversed(sides)).differences
    assert {d.artifact for d in found if d.kind == "missing"} == expected


def test_many_missing_containers_are_compared_in_time_in_proportion():
    """With the square of their number it took minutes, and the time limit of the tests ended it."""
    many = capture_tree({f"k{n}": {} for n in range(50_000)})
    assert len(compare_artifacts(capture_tree({}), many).differences) == 50_000
