"""Kinds of differences: rounding, factors and lower precision."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro import compare
from pytest_repro.capturing import capture_tree
from pytest_repro.equivalences.magnitude import (
    find_factor,
    find_integer_factor,
    find_lower_precision,
    is_rounding,
    round_through,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_in_another_order_is_rounding_and_a_changed_term_is_not(dtype):
    terms = RNG.standard_normal(10_000).astype(dtype)
    total = np.add.accumulate(terms)
    assert is_rounding(compare(np.add.accumulate(terms[::-1])[-1:], total[-1:]))
    assert not is_rounding(compare(total * dtype(1.01), total))


@pytest.mark.parametrize(("dtype", "rounding", "wrong"), [(np.float32, 3e-5, 1e-4), (np.float64, 5e-14, 2e-13)])
def test_the_bound_lies_at_a_thousand_roundoffs(dtype, rounding, wrong):
    a = RNG.standard_normal(1000).astype(dtype)
    assert is_rounding(compare((a * (1 + rounding)).astype(dtype), a))
    assert not is_rounding(compare((a * (1 + wrong)).astype(dtype), a))


def test_other_kinds_of_difference_are_not_rounding():
    assert not is_rounding(compare(np.ones(3), np.ones(3)))
    assert not is_rounding(compare(np.ones(3), np.ones(4)))
    assert not is_rounding(compare(np.array([1, 2]), np.array([1, 3])))
    assert not is_rounding(compare(np.array([np.nan]), np.array([1.0])))


def test_one_wrong_artifact_among_rounded_ones_is_not_rounding():
    a = RNG.standard_normal(50)
    assert not is_rounding(compare({"a": a * (1 + 1e-15), "b": a * 2}, {"a": a, "b": a}))


def factor(actual, expected):
    return find_factor(capture_tree(actual), capture_tree(expected))


def test_one_factor_over_all_artifacts_is_found():
    a, b = RNG.standard_normal(20).astype(np.float32), RNG.standard_normal((3, 3)).astype(np.float32)
    assert factor({"a": 4 * a, "b": 4 * b}, {"a": a, "b": b}) == pytest.approx(4)
    assert factor({"a": 4 * a, "b": 2 * b}, {"a": a, "b": b}) is None
    assert factor({"a": a + 1, "b": b}, {"a": a, "b": b}) is None
    assert factor({"a": a}, {"a": a, "b": b}) is None
    assert factor({"a": np.arange(3)}, {"a": np.arange(3)}) is None
    assert factor({"a": a, "b": b}, {"a": a, "b": np.zeros_like(b)}) is None


@pytest.mark.parametrize(("times", "found"), [(3, 3), (0.25, 0.25), (1, None), (1.16, None), (-2, None), (2.5, None)])
def test_only_an_integer_factor_or_its_inverse_counts_as_a_wrong_scale(times, found):
    a = RNG.standard_normal(20)
    result = find_integer_factor(capture_tree(times * a), capture_tree(a))
    assert result == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_format_that_values_went_through_is_named(name):
    values = RNG.standard_normal(100).astype(np.float32)
    leaves = [capture_tree(array).leaves["result"] for array in (round_through(values, name), values)]
    assert find_lower_precision(*leaves) == name


def test_values_of_no_lower_precision_name_no_format():
    values = RNG.standard_normal(100).astype(np.float32)
    changed = round_through(values, "float16")
    changed[7] = np.nextafter(changed[7], np.float32(9))
    leaves = [capture_tree(array).leaves["result"] for array in (changed, values)]
    assert find_lower_precision(*leaves) is None


def test_bfloat16_rounds_to_nearest_even():
    # 1 + 2**-8 is halfway between 1 and 1 + 2**-7, and 1 + 3 * 2**-8 is halfway to an even number above it.
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20], np.float32)
    assert round_through(values, "bfloat16").tolist() == [1.0, 1 + 2**-6, 1 + 2**-7]
