"""Workers: order, content and duplicates are distinguished for any iterable of batches."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_workers_equivalent
from tests.plugin.helpers import unwrap

DATA = np.arange(12.0).reshape(6, 2)


def batches(rows):
    return [{"x": rows[i : i + 2]} for i in range(0, len(rows), 2)]


def test_a_loader_that_ignores_workers_passes():
    shown = assert_workers_equivalent(lambda workers: batches(DATA), epochs=2)
    assert shown.verdict == "identical"
    assert shown.trials == ("1 worker", "2 workers")


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda w: batches(DATA[::-1] if w else DATA), "workers.order"),
        (lambda w: batches(DATA + w), "workers.augmentation"),
        (lambda w: batches(np.repeat(DATA, max(1, w), 0)), "workers.duplicated"),
        (lambda w: [{"x": DATA}] if w else batches(DATA), "workers.order"),
    ],
    ids=["order", "content", "duplicates", "sizes of batches"],
)
def test_each_fault_is_named(make, cause):
    with pytest.raises(DivergenceError, match=f"cause +{cause}: "):
        assert_workers_equivalent(make)


def test_a_global_generator_that_only_this_process_draws_from_is_named():
    class Loader:
        def __init__(self, workers):
            self.workers = workers

        def __iter__(self):
            noise = random.random() if not self.workers else random.Random(self.workers).random()
            yield from batches(DATA + noise)

    with pytest.raises(DivergenceError) as caught:
        assert_workers_equivalent(Loader)
    assert "draws from this process' python generator" in unwrap(str(caught.value))


def test_a_loader_that_never_repeats_is_inconclusive():
    calls = iter(range(100))
    with pytest.raises(InconclusiveError, match="0 workers differs from itself"):
        assert_workers_equivalent(lambda w: batches(DATA + next(calls)))


def test_an_empty_loader_is_inconclusive():
    with pytest.raises(InconclusiveError, match="yielded nothing to compare"):
        assert_workers_equivalent(lambda w: [])


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda w: 3, {}),
        (batches, {"workers": (0,)}),
        (batches, {"workers": (-1, 0)}),
        (None, {}),
        (batches, {"epochs": 0}),
    ],
)
def test_wrong_arguments_are_rejected(make, arguments):
    with pytest.raises(UsageError):
        assert_workers_equivalent(make, **arguments)
