"""Order invariance: rounding of reordered sums and dependence on the order are distinguished."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_order_invariant

X = np.random.default_rng(0).standard_normal(500).astype(np.float32)


def test_an_exact_sum_passes_and_a_rounded_one_is_named():
    assert assert_order_invariant(lambda x: math.fsum(x), X).verdict == "identical"
    with pytest.raises(DivergenceError, match=r"cause +order.rounding"):
        assert_order_invariant(lambda x: np.cumsum(x)[-1], X)
    assert assert_order_invariant(lambda x: np.cumsum(x)[-1], X, norm=1e-4).verdict == "within_tolerance"


def test_ids_by_first_appearance_are_named_and_sorted_ones_pass():
    words = ["b", "a", "c", "a"]
    with pytest.raises(DivergenceError, match=r"cause +order.dependence"):
        assert_order_invariant(lambda w: {word: i for i, word in enumerate(dict.fromkeys(w))}, words)
    assert assert_order_invariant(lambda w: {word: i for i, word in enumerate(sorted(set(w)))}, words)


def test_arrays_of_a_tuple_move_together():
    y = np.arange(500.0)
    assert assert_order_invariant(lambda x, y: x[np.argmax(y)], (X, y)).verdict == "identical"


def test_aligned_rows_are_sorted_back_before_they_are_compared():
    assert assert_order_invariant(lambda x: x * 2, X, aligned=True).verdict == "identical"
    with pytest.raises(DivergenceError):
        assert_order_invariant(lambda x: x * 2, X)
    with pytest.raises(DivergenceError):
        assert_order_invariant(lambda x: np.cumsum(x), X, aligned=True)


def test_a_result_that_never_repeats_is_inconclusive():
    calls = iter(range(100))
    with pytest.raises(InconclusiveError):
        assert_order_invariant(lambda x: next(calls), X)


@pytest.mark.parametrize(("items", "orders"), [([1], 3), (3, 3), ([1, 2], -1)])
def test_wrong_arguments_are_rejected(items, orders):
    with pytest.raises(UsageError):
        assert_order_invariant(len, items, orders=orders)


def test_a_result_that_differs_at_times_is_unstable_and_has_no_cause():
    calls = iter(range(100))
    with pytest.raises(InconclusiveError, match=r"with\s+reversed,\s+differs\s+from\s+itself\s+when\s+repeated"):
        assert_order_invariant(lambda x: float(x.sum()) if x[0] < x[-1] else next(calls), np.arange(5.0))
