from __future__ import annotations

import copy

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare, compare_artifacts, compare_for_bench
from pytest_repro.errors import CaptureError, UnsupportedTypeError, UsageError
from pytest_repro.model import Tolerance, Verdict


def slow(actual, expected):
    """Compare without the shortcut."""
    return compare_artifacts(capture_tree(actual, copy=False), capture_tree(expected, copy=False))


TREES = [
    {"a": np.arange(3), "b": {"c": np.zeros((2, 2)), "d": [1, "x", np.float32(2)]}},
    {"a": {}, "b": []},
    [np.zeros(3), {"x": 1.5}, (None, True, b"z")],
    {"big": np.zeros(100_000), "small": np.zeros(3)},
    {"empty": np.zeros((0, 3)), "scalar": np.array(4)},
    {1: np.zeros(2), "two": 3 + 4j},
    np.arange(5),
    3.5,
    {"s": np.array(["a", "b"]), "t": np.array(["NaT"], "datetime64[s]")},
    {"structured": np.zeros(2, [("a", "f4"), ("b", "i4")]), "masked": np.ma.masked_array([1.0, 2.0], [0, 1])},
]


@pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))
def test_the_shortcut_counts_the_same_artifacts_and_elements(tree):
    found, wanted = compare(tree, copy.deepcopy(tree)), slow(tree, copy.deepcopy(tree))
    assert (found.artifacts, found.elements, found.verdict) == (wanted.artifacts, wanted.elements, wanted.verdict)


def change(tree):
    """Yield the tree with one leaf changed, for each leaf of its dicts and lists."""
    if isinstance(tree, dict):
        for key in tree:
            for child in change(tree[key]):
                yield {**tree, key: child}
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            for child in change(value):
                yield type(tree)([*tree[:i], child, *tree[i + 1 :]])
    elif isinstance(tree, np.ma.MaskedArray):
        yield np.ma.masked_array(tree.data, ~tree.mask)
    elif isinstance(tree, np.ndarray) and tree.size and tree.dtype.kind in "fi":
        other = tree.copy()
        other.reshape(-1)[-1] += 1
        yield other
        yield tree[None]
        yield tree.astype(np.complex64)
    else:
        yield "something else"


@pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))
def test_the_shortcut_finds_every_change(tree):
    for other in change(tree):
        found, wanted = compare(other, tree), slow(other, tree)
        assert sorted(d.artifact for d in found.differences) == sorted(d.artifact for d in wanted.differences)
        assert (found.artifacts, found.elements) == (wanted.artifacts, wanted.elements)
        assert found.verdict is Verdict.DIVERGED


def test_paths_are_joined_and_a_bare_value_is_called_result():
    assert compare({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}).differences[0].artifact == "a/b/1"
    assert compare(np.zeros(2), np.ones(2)).differences[0].artifact == "result"


def test_arrays_of_the_same_bytes_and_another_type_dtype_or_shape_differ():
    ones = np.ones(4, np.float32)
    for other in (
        ones.view(np.int32),
        ones.reshape(2, 2),
        ones.view(np.complex64),
        ones.astype(">f4"),
        ones.view(np.matrix),
    ):
        assert compare({"x": other}, {"x": ones}).verdict is Verdict.DIVERGED


def test_equal_values_with_other_strides_are_identical():
    values = np.arange(12.0).reshape(3, 4)
    assert compare({"x": np.asfortranarray(values)}, {"x": values}).is_identical
    assert compare({"x": values[:, ::-1]}, {"x": values[:, ::-1].copy()}).is_identical


@pytest.mark.parametrize(
    "bounds",
    [{"max_ulp": -1}, {"rtol": float("nan")}, {"atol": float("inf")}, {"norm": -1e-3}, {"rtoll": 1}, {"max_ulp": 1.5}],
)
def test_impossible_and_unknown_bounds_are_rejected(bounds):
    with pytest.raises(UsageError, match=next(iter(bounds))):
        compare(1.0, 1.0, **bounds)


def test_a_tolerance_together_with_bounds_is_rejected():
    with pytest.raises(UsageError, match="not both"):
        compare(1.0, 1.0, Tolerance(rtol=0.1), norm=0.0)
    with pytest.raises(UsageError, match="not both"):
        compare(1.0, 1.0, Tolerance(rtol=1), max_ulp=3)


def test_an_unmatched_glob_is_rejected_even_if_everything_is_equal():
    with pytest.raises(UsageError, match="matches no artifact"):
        compare({"a": 1}, {"a": 1}, {"b": Tolerance(), "*": Tolerance()})


def test_values_that_cannot_be_compared_are_rejected_with_path_and_type():
    with pytest.raises(UnsupportedTypeError, match="'f'"):
        compare({"f": map(len, [])}, {"f": map(len, [])})
    with pytest.raises(UnsupportedTypeError, match="map"):
        compare({"o": np.array([map(len, [])])}, {"o": np.array([map(len, [])])})


def test_a_cycle_and_a_deep_tree_are_rejected_in_bounded_time():
    left: dict = {}
    left["self"] = left
    right: dict = {}
    right["self"] = right
    with pytest.raises(CaptureError):
        compare(left, right)
    deep = 1.5
    for _ in range(200):
        deep = [deep]
    with pytest.raises(CaptureError, match="nested"):
        compare(deep, copy.copy(deep))


def test_read_only_arrays_can_be_compared():
    left, right = np.linspace(0, 1, 30_000), np.linspace(0, 1, 30_000) * (1 + 1e-12)
    left.flags.writeable = right.flags.writeable = False
    assert compare({"x": left}, {"x": right}, rtol=1e-9).verdict is Verdict.WITHIN_TOLERANCE


def test_the_benchmark_hook_returns_every_statistic():
    found = compare_for_bench({"x": np.float32([1, 2])}, {"x": np.float32([1, 2.5])}, 4)
    (difference,) = found.differences
    assert None not in (difference.max_ulp, difference.max_abs, difference.max_rel, difference.norm_rel)
    assert sum(difference.ulp_histogram) == difference.differing == 1


@pytest.mark.parametrize("shapes", [((3, 1), (1, 3)), ((0, 2), (0, 3)), ((1,), ()), ((2, 2), (4,))])
def test_arrays_of_the_same_bytes_and_other_shapes_differ_in_a_dict_too(shapes) -> None:
    actual, expected = ({"a": np.ones(shape), "b": np.ones(2)} for shape in shapes)
    assert not compare(actual, expected)
    assert compare(actual, {"a": np.ones(shapes[0]), "b": np.ones(2)})
