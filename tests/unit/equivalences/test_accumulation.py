"""Accumulation: a missing division, zeroed gradients, unequal parts and rounding are distinguished."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_accumulation_equivalent
from tests.plugin.helpers import unwrap

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


TOKENS = np.arange(6)[None] < np.array([1, 6, 2, 6, 3, 6, 1, 2, 6, 4])[:, None]
SEQUENCES = (RNG.standard_normal((10, 6, 4)), RNG.standard_normal((10, 6)), TOKENS)


def token_step(parts, share):
    """Return the gradient of a loss that averages over the tokens that are no padding."""
    weights, total = np.full(4, 0.5), np.zeros(4)
    rows, tokens = sum(len(x) for x, _, _ in parts), sum(mask.sum() for _, _, mask in parts)
    for x, y, mask in parts:
        gradient = (2 * x * ((x @ weights - y) * mask)[..., None]).sum((0, 1)) / mask.sum()
        total = (
            total + gradient * {"rows": len(x) / rows, "equal": 1 / len(parts), "tokens": mask.sum() / tokens}[share]
        )
    return {"weights": weights - 0.1 * total}


@pytest.mark.parametrize(
    ("share", "parts", "cause"),
    [
        ("rows", [2], "each part is weighted by its rows; its loss averages over another count, such as tokens"),
        ("rows", [3], "each part is weighted by its rows; its loss averages over another count, such as tokens"),
        ("equal", [3], "each part has the same weight; its loss averages over another count, such as tokens"),
    ],
)
def test_parts_that_are_not_weighted_by_their_tokens_are_named_with_both_weights(share, parts, cause):
    with pytest.raises(DivergenceError) as caught:
        assert_accumulation_equivalent(lambda p: token_step(p, share), SEQUENCES, parts=parts, norm=1e-12)
    shown = unwrap(str(caught.value))
    assert f"cause     accumulation.weights: {cause}" in shown
    assert "the latter have the ratio of values in item 2 that are not 0: " in shown
    assert assert_accumulation_equivalent(lambda p: token_step(p, "tokens"), SEQUENCES, parts=parts, norm=1e-12)


def test_unequal_parts_are_named_by_their_fitted_weights():
    with pytest.raises(DivergenceError) as caught:
        assert_accumulation_equivalent(lambda p: step(p, "unequal"), BATCH, parts=[3], norm=1e-13)
    evidence = "give this result with the weights 0.333, 0.333, 0.333, and the whole batch's with 0.4, 0.4, 0.2"
    assert evidence in unwrap(str(caught.value))


def test_unequal_parts_whose_weights_cannot_be_fitted_are_only_suspected():
    def cubed(parts):
        return step(parts, "unequal")["gradient"] ** 3

    with pytest.raises(DivergenceError) as caught:
        assert_accumulation_equivalent(cubed, BATCH, parts=[2, 3], norm=1e-13)
    assert "cause     accumulation.other" in str(caught.value)
    assert "suspected accumulation.unequal" in str(caught.value)


def test_a_factor_that_is_no_integer_is_named():
    with pytest.raises(DivergenceError, match=r"cause +accumulation.scale: the result is 1.5 times"):
        assert_accumulation_equivalent(lambda p: step(p)["gradient"] * (1 + (len(p) > 1) / 2), BATCH, norm=1e-13)


def test_a_step_that_changes_with_the_number_of_calls_is_unstable_and_has_no_cause():
    calls = []

    def counting(parts):
        calls.append(1)
        return float(len(calls) > 3)  # the first repeat does not show it

    with pytest.raises(InconclusiveError, match=r"differs\s+from\s+itself\s+when\s+repeated"):
        assert_accumulation_equivalent(counting, BATCH)
