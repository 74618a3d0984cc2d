"""Accumulation: a missing division, zeroed gradients, unequal parts and rounding are distinguished."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_accumulation_equivalent

RNG = np.random.default_rng(0)
BATCH = (RNG.standard_normal((10, 4)), RNG.standard_normal(10))


def gradient_of(x, y, weights):
    return 2 * x.T @ (x @ weights - y) / len(x)


def step(parts, fault=""):
    """Return the gradient of a linear model's mean squared error, accumulated over parts."""
    weights, total = np.full(4, 0.5), np.zeros(4)
    count = sum(len(x) for x, _ in parts)
    for x, y in parts:
        share = {"undivided": 1.0, "unequal": 1 / len(parts)}.get(fault, len(x) / count)
        if fault == "zeroed":
            total = np.zeros(4)
        total = total + share * gradient_of(x, y, weights)
        if fault == "stepped":
            weights = weights - 0.1 * total
    return {"gradient": total}


def test_parts_weighted_by_size_differ_only_by_rounding():
    with pytest.raises(DivergenceError, match=r"cause +accumulation.rounding"):
        assert_accumulation_equivalent(step, BATCH)
    assert assert_accumulation_equivalent(step, BATCH, norm=1e-13).verdict == "within_tolerance"


@pytest.mark.parametrize(
    ("fault", "parts", "cause"),
    [
        ("undivided", [2], "accumulation.scale: the result is 2 times"),
        ("unequal", [2, 3, 4], "accumulation.unequal"),
        ("zeroed", [2], "accumulation.zeroed"),
        ("stepped", [2], "accumulation.other"),
    ],
)
def test_each_fault_is_named(fault, parts, cause):
    with pytest.raises(DivergenceError, match=f"cause +{cause}"):
        assert_accumulation_equivalent(lambda p: step(p, fault), BATCH, parts=parts, norm=1e-13)


def test_exact_arithmetic_is_identical():
    assert (
        assert_accumulation_equivalent(lambda parts: sum(int(p.sum()) for p in parts), np.arange(12)).verdict
        == "identical"
    )


def test_a_step_that_keeps_its_model_is_inconclusive():
    total = []
    with pytest.raises(InconclusiveError, match="start from the same model"):
        assert_accumulation_equivalent(lambda parts: total.append(1) or len(total), np.arange(12))


@pytest.mark.parametrize(("batch", "parts"), [(np.arange(2), [3]), (np.arange(9), [1]), (np.arange(9), []), (3, [2])])
def test_wrong_arguments_are_rejected(batch, parts):
    with pytest.raises(UsageError):
        assert_accumulation_equivalent(step, batch, parts=parts)
