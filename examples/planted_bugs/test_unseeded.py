"""Random numbers that do not depend on a seed: unseeded generators, the system's entropy, the clock."""

from __future__ import annotations

import functools
import random
import time
import uuid

import numpy as np
import pytest

from pytest_repro import DivergenceError

planted = functools.partial(pytest.mark.xfail, strict=True, raises=DivergenceError)


def initial_weights(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(scale=0.1, size=(64, 10))


@pytest.mark.reproducible
@planted(reason="default_rng() without a seed draws from the system's entropy")
def test_unseeded_default_rng():
    return initial_weights(np.random.default_rng())


@pytest.mark.reproducible
def test_unseeded_default_rng_repaired(repro):
    return initial_weights(np.random.default_rng(repro.seed))


@pytest.mark.reproducible
@planted(reason="the clock is used as a seed")
def test_clock_seed():
    return initial_weights(np.random.default_rng(time.time_ns()))


@pytest.mark.reproducible
def test_clock_seed_repaired(repro):
    return initial_weights(repro.rng)


def split(names: list[str], rng: random.Random, share: float = 0.8) -> tuple[list[str], list[str]]:
    shuffled = rng.sample(names, len(names))
    cut = int(share * len(names))
    return shuffled[:cut], shuffled[cut:]


@pytest.mark.reproducible
@planted(reason="random.Random() without a seed uses the system's entropy")
def test_unseeded_split():
    return split([f"image_{i:04}.png" for i in range(200)], random.Random())


@pytest.mark.reproducible
def test_unseeded_split_repaired(repro):
    return split([f"image_{i:04}.png" for i in range(200)], random.Random(repro.seed))


def shard_of(key: str, shards: int = 1000) -> int:
    return int.from_bytes(key.encode()[:8], "big") % shards


@pytest.mark.reproducible
@planted(reason="uuid4 keys, which decide the shards, use the system's entropy")
def test_random_keys():
    return [shard_of(str(uuid.uuid4())) for _ in range(50)]


@pytest.mark.reproducible
def test_random_keys_repaired():
    return [shard_of(str(uuid.uuid5(uuid.NAMESPACE_URL, f"sample/{i}"))) for i in range(50)]
