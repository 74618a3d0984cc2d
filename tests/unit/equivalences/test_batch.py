"""Batch invariance: the effects of size, position, companions and padding are distinguished."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_batch_invariant
from tests.plugin.helpers import unwrap

X = np.random.default_rng(0).standard_normal((12, 3))


def row_by_row(batch):
    return np.array([[np.sin(row).sum()] for row in batch])


def test_a_prediction_row_by_row_passes():
    shown = assert_batch_invariant(row_by_row, X)
    assert shown.verdict == "identical"
    assert "each alone" in shown.trials
    assert "positions reversed" in shown.trials
    assert "other companions of sample 0" in shown.trials


@pytest.mark.parametrize(
    ("predict", "cause"),
    [
        (lambda b: b - b.mean(0), "batch.statistics"),
        (lambda b: b * (1 + 1e-15 * (len(b) > 4)), "batch.kernel"),
        (lambda b: b + 1e-16 * np.arange(len(b))[:, None] * b, "batch.kernel"),
        (lambda b: b / len(b), "batch.size"),
        (lambda b: b + np.arange(len(b))[:, None], "batch.size"),
        (lambda b: b + np.random.random(b.shape), "batch.random"),
    ],
)
def test_each_cause_is_named(predict, cause):
    with pytest.raises(DivergenceError, match=f"cause +{cause}: "):
        assert_batch_invariant(predict, X)


def test_a_row_that_uses_the_row_before_it_is_found():
    def leaks(batch):
        result = batch.copy()
        result[1:, 0] += 1e-9 * batch[:-1, 0]
        return result

    with pytest.raises(DivergenceError):
        assert_batch_invariant(leaks, X)


def test_padding_that_changes_a_prediction_is_named_and_masked_padding_passes():
    def pad(batch, amount):
        return np.pad(batch, ((0, 0), (0, amount)))

    with pytest.raises(DivergenceError, match=r"(?s)cause +batch.padding: .*evidence +padded by 1"):
        assert_batch_invariant(lambda b: b.mean(1), X, pad=pad)
    shown = assert_batch_invariant(lambda b: row_by_row(b[:, :3]), X, pad=pad, padding=[2])
    assert "padded by 2" in shown.trials


def test_a_prediction_that_fails_for_a_single_sample_is_a_difference():
    def picky(batch):
        if len(batch) == 1:
            raise ValueError("more than 1 needed")
        return row_by_row(batch)

    with pytest.raises(DivergenceError, match=r"raised +each alone: ValueError: more than 1 needed"):
        assert_batch_invariant(picky, X)


def test_an_error_for_all_samples_is_raised_unchanged():
    with pytest.raises(ZeroDivisionError):
        assert_batch_invariant(lambda b: 1 / 0, X)


def test_state_between_calls_is_inconclusive():
    calls = iter(range(1000))
    with pytest.raises(InconclusiveError, match=r"differs\s+from\s+itself\s+when\s+repeated"):
        assert_batch_invariant(lambda b: b + next(calls), X)


@pytest.mark.parametrize("samples", [X, X.tolist(), {"a": X, "b": X}, (X, X)], ids=["array", "list", "dict", "tuple"])
def test_samples_may_be_of_many_types(samples):
    def predict(batch):
        if isinstance(batch, list):
            return [sum(row) for row in batch]
        return row_by_row(batch["a"] if isinstance(batch, dict) else batch[0] if isinstance(batch, tuple) else batch)

    assert assert_batch_invariant(predict, samples).verdict == "identical"


def test_a_list_of_results_is_compared_sample_by_sample():
    with pytest.raises(DivergenceError, match=r"first +sample 0/predictions"):
        assert_batch_invariant(lambda b: [{"predictions": row[0] + len(b)} for row in b], X.tolist())


def test_several_outputs_are_compared_each():
    with pytest.raises(DivergenceError, match="1 of 2 artifacts"):
        assert_batch_invariant(lambda b: {"good": row_by_row(b), "bad": row_by_row(b) + len(b)}, X)


def test_a_result_without_a_batch_axis_is_rejected():
    with pytest.raises(UsageError, match=r"first axis of everything that it returns must be the batch"):
        assert_batch_invariant(lambda b: b.sum(), X)


@pytest.mark.parametrize(
    ("samples", "arguments", "message"),
    [
        (X[:1], {}, "make no two different batches"),
        ("text", {}, "samples must be"),
        (X, {"batch_sizes": [0]}, "batch_sizes"),
        ({"a": X, "b": X[:3]}, {}, "different lengths"),
        (X, {"atoll": 1}, "no argument 'atoll'"),
        (X, {"pad": 3}, "pad must be"),
    ],
)
def test_wrong_arguments_are_rejected(samples, arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_batch_invariant(row_by_row, samples, **arguments)


def test_a_draw_that_no_prediction_depends_on_is_no_cause():
    def centred(batch):
        random.random()  # the name of a log
        return batch - batch.mean(axis=0)

    with pytest.raises(DivergenceError, match=r"cause +batch.statistics"):
        assert_batch_invariant(centred, np.random.default_rng(0).standard_normal((9, 3)))


def test_random_predictions_are_named_after_another_seed_changed_them():
    with pytest.raises(DivergenceError, match=r"cause +batch.random") as caught:
        assert_batch_invariant(lambda batch: batch + np.random.random(len(batch))[:, None], np.ones((9, 3)))
    evidence = "predict() draws from numpy, and another seed gives other predictions for the same batch"
    assert evidence in unwrap(str(caught.value))


def test_a_predictor_that_changes_after_some_calls_is_unstable_and_has_no_cause():
    calls = []

    def counting(batch):
        calls.append(1)
        return batch + (len(calls) > 4)

    with pytest.raises(InconclusiveError, match=r"differs\s+from\s+itself\s+when\s+repeated"):
        assert_batch_invariant(counting, np.ones((9, 3)))


def test_companions_are_compared_with_the_same_sample_among_others():
    with pytest.raises(DivergenceError) as caught:
        assert_batch_invariant(lambda b: b - b[:1] * 0 - b.mean(axis=0), np.arange(18.0).reshape(9, 2), batch_sizes=[8])
    heading = " ".join(str(caught.value).partition("\n\n")[0].split())
    assert "the same sample with its first companions" in heading
