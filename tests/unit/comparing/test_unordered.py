"""Two-dimensional arrays compared as multisets of rows. Tables: tests/frameworks/test_unordered_tables.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.comparing import compare
from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, TolerancePolicy, Verdict

ANY_ORDER = Tolerance(rows="unordered")
ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [5.0, 6.0]])


def test_the_same_rows_in_another_order_are_allowed_and_told():
    found = compare(ROWS[[3, 0, 1, 2]], ROWS, ANY_ORDER)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    (difference,) = found.tolerated
    assert (difference.elements, difference.differing, difference.over) == (4, 4, 0)
    assert difference.note == "the same rows in another order"
    assert difference.allowed == "rows in any order, each exactly"
    assert "4 of 4 rows in another place" in str(found)


def test_the_same_order_is_identical():
    assert compare(ROWS.copy(), ROWS, ANY_ORDER).is_identical


def test_another_order_is_a_divergence_without_the_rule():
    assert compare(ROWS[::-1], ROWS).verdict is Verdict.DIVERGED


def test_a_row_with_one_other_bit_is_named():
    other = ROWS[[3, 0, 1, 2]]
    other[2, 1] = np.nextafter(4.0, 5)
    found = compare(other, ROWS, ANY_ORDER)
    assert found.verdict is Verdict.DIVERGED
    (difference,) = found.divergences
    assert (difference.differing, difference.over, difference.first_index) == (1, 1, (2,))
    assert difference.actual == "row 2: 3.0, 4.000000000000001"
    assert difference.expected == "row 1: 3.0, 4.0"
    assert difference.note == "1 of 4 rows have no match"


def test_the_number_of_equal_rows_counts():
    found = compare(ROWS[[0, 1, 1, 3]], ROWS, ANY_ORDER)
    assert found.verdict is Verdict.DIVERGED


@pytest.mark.parametrize("change", [lambda a: a[:3], lambda a: a.astype("f4"), lambda a: a.T, lambda a: a.tolist()])
def test_a_shape_a_dtype_and_a_type_count(change):
    assert compare(change(ROWS), ROWS, ANY_ORDER).verdict is Verdict.DIVERGED


@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "?", "longdouble", "c16", "U3", ">f8", "M8[s]"])
def test_rows_of_every_dtype(dtype):
    rows = np.arange(12).reshape(6, 2).astype("i8" if dtype == "M8[s]" else "f8").astype(dtype)
    assert compare(rows[::-1], rows, ANY_ORDER).verdict is not Verdict.DIVERGED
    other = rows[::-1].copy()
    other[0, 0] = other[0, 0] + np.array(1, "m8[s]") if dtype == "M8[s]" else rows[0, 1]
    expected = Verdict.DIVERGED if not np.array_equal(other[::-1], rows) else Verdict.WITHIN_TOLERANCE
    assert compare(other, rows, ANY_ORDER).verdict is expected


def test_the_signs_of_zero_and_the_bits_of_nan_count():
    for one, other in ((0.0, -0.0), (np.nan, -np.nan)):
        assert compare(np.array([[1.0], [other]]), np.array([[one], [1.0]]), ANY_ORDER).verdict is Verdict.DIVERGED


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5), st.data())
def test_rows_are_allowed_exactly_if_they_are_a_permutation(rows, data):
    other = data.draw(st.permutations(rows))
    place = data.draw(st.integers(0, len(rows) - 1))
    other[place] = data.draw(st.sampled_from([other[place], (0, 0), (0, 1)]))
    found = compare(np.array(other), np.array(rows), ANY_ORDER)
    assert bool(found) is (sorted(other) == sorted(rows))
    assert found.is_identical is (other == rows)


def test_an_array_of_another_number_of_dimensions_is_compared_in_its_order():
    found = compare({"line": np.arange(3)[::-1], "rows": ROWS[::-1]}, {"line": np.arange(3), "rows": ROWS}, ANY_ORDER)
    assert [difference.artifact for difference in found.divergences] == ["line"]
    assert "the order of these values counts" in found.divergences[0].note
    assert [difference.artifact for difference in found.tolerated] == ["rows"]


def test_a_glob_chooses_the_arrays():
    one, other = {"a": ROWS, "b": ROWS}, {"a": ROWS[::-1], "b": ROWS[::-1]}
    found = compare(other, one, {"a": ANY_ORDER})
    assert [difference.artifact for difference in found.divergences] == ["b"]
    assert compare(other, one, {"a": ANY_ORDER, "b": ANY_ORDER}).verdict is Verdict.WITHIN_TOLERANCE


def test_a_glob_that_names_no_rows_is_rejected():
    with pytest.raises(UsageError, match="no table or two-dimensional array"):
        compare({"a": np.arange(3)}, {"a": np.arange(3)}, {"a": ANY_ORDER})
    with pytest.raises(UsageError, match="matches no artifact"):
        compare({"a": ROWS}, {"a": ROWS}, {"misspelt": ANY_ORDER})


def test_a_bound_of_a_container_is_still_rejected():
    with pytest.raises(UsageError, match="matches no artifact"):
        compare({"a": {"b": 1.0}}, {"a": {"b": 1.0}}, {"a": Tolerance(rtol=1)})


@pytest.mark.parametrize("bound", [{"rtol": 1e-3}, {"max_ulp": 1}, {"norm": 0.1}, {"rule": "reference"}])
def test_unordered_rows_go_with_no_bound(bound):
    with pytest.raises(UsageError, match="goes with no bound"):
        Tolerance(rows="unordered", **bound)


def test_a_rule_for_rows_is_checked():
    with pytest.raises(UsageError, match="'ordered' or 'unordered'"):
        Tolerance(rows="any")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="to a Tolerance of bounds"):
        Tolerance.per_dtype({"float32": ANY_ORDER})
    assert ANY_ORDER.with_bounds(rtol=1.0) == ANY_ORDER
    assert not ANY_ORDER.is_exact


def test_a_policy_without_bounds_keeps_what_is_said_of_rows():
    policy = TolerancePolicy.of({"a": Tolerance(rtol=1), "b": ANY_ORDER}).without_bounds()
    assert policy.find("a") == Tolerance()
    assert policy.find("b") == ANY_ORDER
