"""Generator objects, whose states are remembered and restored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from pytest_repro.seeding.generator_states import remember_state

GENERATORS = [
    (random.Random(1), lambda rng: rng.random()),
    (np.random.default_rng(1), lambda rng: rng.random()),
    (np.random.PCG64(1), lambda rng: rng.random_raw()),
    (np.random.RandomState(1), lambda rng: rng.rand()),
]


@pytest.mark.parametrize(("rng", "draw"), GENERATORS, ids=lambda given: type(given).__name__)
def test_a_generator_continues_from_its_remembered_state(rng: Any, draw: Any) -> None:
    restore = remember_state(rng)
    first = draw(rng)
    assert draw(rng) != first
    assert restore is not None
    restore()
    assert draw(rng) == first


@pytest.mark.parametrize("value", [3, object(), random.SystemRandom(), np.random.SeedSequence(1), np.random])
def test_what_has_no_state_is_not_remembered(value: object) -> None:
    assert remember_state(value) is None
