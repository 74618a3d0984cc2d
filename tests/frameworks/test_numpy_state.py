"""NumPy's global generator, with any bit generator, and its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import assert_follows_seed

numpy_random: Any = np.random


@pytest.fixture(params=[np.random.MT19937, np.random.PCG64, np.random.Philox])
def bit_generator(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Replace the bit generator of np.random during the test."""
    original = numpy_random.get_bit_generator()
    numpy_random.set_bit_generator(request.param(7))
    yield numpy_random.get_bit_generator()
    numpy_random.set_bit_generator(original)


@pytest.mark.usefixtures("bit_generator")
def test_every_bit_generator_is_seeded_and_restored_with_its_cached_normal_draw() -> None:
    state = np.random.get_state(legacy=False)
    expected = np.random.standard_normal(4).tolist()
    np.random.set_state(state)
    actual = np.random.standard_normal(1).tolist()  # the polar method computes two and caches one
    assert_follows_seed(lambda: np.random.standard_normal(3).tolist())
    assert actual + np.random.standard_normal(3).tolist() == expected


@pytest.mark.usefixtures("bit_generator")
def test_a_cached_normal_draw_does_not_enter_the_seeded_stream() -> None:
    streams = []
    for draws in (0, 1):
        np.random.seed(7)
        np.random.standard_normal(draws)
        with seeding.seeded(3):
            streams.append(np.random.standard_normal(3).tolist())
    assert streams[0] == streams[1]


def test_a_replaced_bit_generator_is_restored() -> None:
    original = numpy_random.get_bit_generator()
    with seeding.seeded(3):
        numpy_random.set_bit_generator(np.random.PCG64(1))
    assert numpy_random.get_bit_generator() is original


def test_generator_objects_are_not_seeded() -> None:
    rng = np.random.default_rng(5)
    expected = np.random.default_rng(5).random(3).tolist()
    seeding.seed_everything(3)
    assert rng.random(3).tolist() == expected


def test_settings_left_changed_are_reported_and_restored() -> None:
    state = seeding.save_state()
    np.setbufsize(16)
    np.set_printoptions(precision=2)
    assert seeding.restore_state(state) == [
        "numpy buffer size was left at 16; restored to 8192",
        "numpy print options was left at precision=2; restored to precision=8",
    ]
    assert np.getbufsize() == 8192
    assert np.get_printoptions()["precision"] == 8
