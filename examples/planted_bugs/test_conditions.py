"""Results that depend on a condition: hash seed, order of files, number of workers.

Two runs in one condition are identical, so the bug shows only if the condition is varied.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from pytest_repro import DivergenceError

planted = functools.partial(pytest.mark.xfail, strict=True, raises=DivergenceError)

TEXT = "the cat sat on the mat and the dog ran after a bird that sang in a tree near the old mill by the river"


@pytest.mark.reproducible(across=["hash_seed"])
@planted(reason="words are numbered in the order of a set, which depends on the hash seed of the process")
def test_set_order():
    return list(set(TEXT.split()))


@pytest.mark.reproducible(across=["hash_seed"])
def test_set_order_repaired():
    return sorted(set(TEXT.split()))


@pytest.fixture
def shards(tmp_path) -> Path:
    """Twenty files of ten numbers each."""
    for index in range(20):
        np.save(tmp_path / f"shard_{index:02}.npy", np.arange(10.0) + 10 * index)
    return tmp_path


def running_mean(files) -> np.ndarray:
    """Return the exponential mean over the files, in the given order."""
    mean = np.zeros(10)
    for file in files:
        mean = 0.9 * mean + 0.1 * np.load(file)
    return mean


@pytest.mark.reproducible(across=["file_order"])
@planted(reason="files are read in the order in which the file system lists them")
def test_listing_order(shards):
    return running_mean(shards.iterdir())


@pytest.mark.reproducible(across=["file_order"])
def test_listing_order_repaired(shards):
    return running_mean(sorted(shards.iterdir()))


def augment(samples: int, workers: int, seeds: list[np.random.SeedSequence]) -> list[float]:
    """Add noise to samples that are dealt to `workers` in turn, with one seed per worker or per sample."""
    streams = [np.random.default_rng(seed) for seed in seeds]
    owner = [sample % workers if len(seeds) == workers else sample for sample in range(samples)]
    return [sample + streams[owner[sample]].normal() for sample in range(samples)]


@pytest.mark.reproducible(across={"workers": [1, 2, 4]})
@planted(reason="each worker has its own stream, so the noise of a sample depends on the number of workers")
def test_stream_for_each_worker(repro, workers):
    return augment(16, workers, np.random.SeedSequence(repro.seed).spawn(workers))


@pytest.mark.reproducible(across={"workers": [1, 2, 4]})
def test_stream_for_each_worker_repaired(repro, workers):
    return augment(16, workers, np.random.SeedSequence(repro.seed).spawn(16))
