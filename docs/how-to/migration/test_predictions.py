"""Tests of predictions and estimators: by hand, with pytest-repro, and with a fault that only the latter sees."""

import itertools
import json

import numpy as np
import pytest

from pytest_repro import (
    DivergenceError,
    assert_batch_invariant,
    assert_identical,
    assert_reproducible,
    assert_resume_equivalent,
)

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3))
SAMPLES = np.random.default_rng(1).normal(size=(20, 4))


def multiply(batch):
    return np.stack([(row[:, None] * WEIGHTS).sum(axis=0) for row in batch])


# --- 6. diffusers, _test_inference_batch_single_identical: a sample is the same alone and in a batch.


def generate(batch, fault=False):
    noise = [np.random.default_rng(0).normal(size=4) for _ in batch]
    if fault:  # one generator for the whole batch: only the first sample gets its own noise
        generator = np.random.default_rng(0)
        noise = [generator.normal(size=4) for _ in batch]
    return multiply(np.asarray(batch) + noise)


def check_first_sample_by_hand(pipe):
    single, batched = pipe(SAMPLES[:1]), pipe(SAMPLES[:3])
    assert np.abs(single[0] - batched[0]).max() < 1e-4


def test_a_sample_does_not_depend_on_its_batch():
    assert_batch_invariant(generate, SAMPLES)


def test_noise_that_only_the_first_sample_gets_right():
    check_first_sample_by_hand(lambda batch: generate(batch, fault=True))
    with pytest.raises(DivergenceError, match="assert_batch_invariant"):
        assert_batch_invariant(lambda batch: generate(batch, fault=True), SAMPLES)


# --- 7. diffusers, test_determinism: two forward passes give one output.


def forward(calls=None):
    output = multiply(SAMPLES)
    if calls is not None and next(calls) % 2:
        output[0, 0] = np.nan  # read from memory that nothing wrote to
    return output


def check_two_passes_by_hand(model):
    one, other = model().ravel(), model().ravel()
    is_number = ~(np.isnan(one) | np.isnan(other))
    np.testing.assert_allclose(one[is_number], other[is_number], rtol=0, atol=1e-5)


@pytest.mark.reproducible
def test_two_passes_give_one_output():
    return forward()


def test_a_nan_in_one_of_two_passes():
    calls = itertools.count()
    check_two_passes_by_hand(lambda: forward(calls))
    with pytest.raises(DivergenceError, match="nan"):
        assert_reproducible(lambda: forward(calls))


# --- 8. scikit-learn, check_fit_idempotent: a second fit changes nothing.


class Centroid:
    def __init__(self, fault=False):
        self.fault = fault
        self.seen_ = 0

    def fit(self, rows):
        self.mean_ = rows.mean(axis=0)
        self.seen_ = len(rows) + (self.seen_ if self.fault else 0)  # the next partial_fit weighs by it
        return self

    def predict(self, rows):
        return rows - self.mean_


def check_fitting_twice_by_hand(estimator):
    first = estimator.fit(SAMPLES).predict(SAMPLES)
    second = estimator.fit(SAMPLES).predict(SAMPLES)
    np.testing.assert_allclose(first, second, rtol=2 * np.finfo(first.dtype).eps)


def test_a_second_fit_changes_nothing():
    assert_identical(Centroid().fit(SAMPLES).fit(SAMPLES), Centroid().fit(SAMPLES))


def test_a_count_that_a_second_fit_adds_to():
    check_fitting_twice_by_hand(Centroid(fault=True))
    with pytest.raises(DivergenceError, match="seen_"):
        assert_identical(Centroid(fault=True).fit(SAMPLES).fit(SAMPLES), Centroid(fault=True).fit(SAMPLES))


# --- 9. scikit-learn, check_methods_subset_invariance: a prediction is the same for a part of the rows.


def predict(rows, fault=False):
    if fault and 2 <= len(rows) <= 8:  # a short way for small batches, which scales by the batch
        return multiply(rows / np.abs(rows).max())
    return multiply(rows)


def check_single_rows_by_hand(method):
    one_by_one = np.concatenate([method(SAMPLES[[number]]) for number in range(len(SAMPLES))])
    np.testing.assert_allclose(method(SAMPLES), one_by_one, atol=1e-7)


def test_a_prediction_is_the_same_for_a_part_of_the_rows():
    assert_batch_invariant(predict, SAMPLES)


def test_small_batches_that_are_scaled_by_the_batch():
    check_single_rows_by_hand(lambda rows: predict(rows, fault=True))
    with pytest.raises(DivergenceError, match="assert_batch_invariant"):
        assert_batch_invariant(lambda rows: predict(rows, fault=True), SAMPLES)


# --- 10. xgboost, run_training_continuation_determinism: a continued training is the same as one without a stop.


class Boosting:
    digits = 17

    def __init__(self):
        self.leaves, self.rng = [], np.random.default_rng(0)
        self.targets = SAMPLES.sum(axis=1)

    def step(self, number):
        chosen = self.rng.random(len(SAMPLES)) < 0.5
        self.leaves.append(float((self.targets - sum(self.leaves))[chosen].mean() / 2))

    def predict(self):
        return np.full(3, sum(self.leaves))

    def save(self, path):
        leaves = [float(f"{leaf:.{self.digits}g}") for leaf in self.leaves]
        path.write_text(json.dumps({"leaves": leaves, "rng": self.rng.bit_generator.state}))

    def load(self, path):
        found = json.loads(path.read_text())
        self.leaves, self.rng.bit_generator.state = found["leaves"], found["rng"]


class RoundingBoosting(Boosting):
    digits = 6


def check_continuation_by_hand(make, path):
    single, first, continued = make(), make(), make()
    for number in range(8):
        single.step(number)
    for number in range(4):
        first.step(number)
    first.save(path)
    continued.load(path)
    for number in range(4, 8):
        continued.step(number)
    assert single.rng.bit_generator.state == continued.rng.bit_generator.state
    np.testing.assert_allclose(single.predict(), continued.predict(), rtol=1e-4)


def test_a_continued_training_is_the_same_as_one_without_a_stop():
    assert_resume_equivalent(Boosting, steps=8, resume_at=[3, 4, 7], process="fork")


def test_a_model_file_that_rounds_to_six_digits(tmp_path):
    check_continuation_by_hand(RoundingBoosting, tmp_path / "model")
    with pytest.raises(DivergenceError, match="leaves"):
        assert_resume_equivalent(RoundingBoosting, steps=8, resume_at=[3, 4, 7], process="fork")


# --- 12. vLLM, the needle in a batch: what is generated for a prompt does not depend on the batch.


def logits(batch, fault=False):
    return multiply(batch) + (1e-6 * len(batch) if fault else 0.0)  # sums in an order that depends on the batch's size


def check_needle_by_hand(model, trials=5):
    rng = np.random.default_rng(0)
    needle = SAMPLES[0]
    expected = model(needle[None]).argmax(axis=1)[0]
    for _ in range(trials):
        size = rng.integers(8, 16)
        position = rng.integers(size)
        batch = rng.normal(size=(size, 4))
        batch[position] = needle
        assert model(batch).argmax(axis=1)[position] == expected


def test_what_is_generated_does_not_depend_on_the_batch():
    assert_batch_invariant(logits, SAMPLES)


def test_logits_that_differ_and_choose_the_same_token():
    check_needle_by_hand(lambda batch: logits(batch, fault=True))
    with pytest.raises(DivergenceError, match="assert_batch_invariant"):
        assert_batch_invariant(lambda batch: logits(batch, fault=True), SAMPLES)
