"""Saving, seeding and restoring of all generators. The tests of each framework are in tests/frameworks."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from pytest_repro import seeding
from pytest_repro.errors import ReproError
from tests.unit.seeding.helpers import assert_follows_seed


def draw() -> tuple[float, float]:
    return random.random(), float(np.random.rand())


def test_equal_seeds_give_equal_draws_and_different_seeds_different_draws() -> None:
    assert_follows_seed(random.random)
    assert_follows_seed(np.random.rand)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_streams_continue_after_a_block_that_raises(error: type[BaseException]) -> None:
    state = seeding.save_state()
    expected = [draw(), draw()]
    seeding.restore_state(state)
    actual = [draw()]

    def fail() -> None:
        draw()
        raise error

    with pytest.raises(error), seeding.seeded(3):
        fail()
    assert [*actual, draw()] == expected


def test_blocks_nest() -> None:
    with seeding.seeded(3):
        expected = [draw(), draw()]
    with seeding.seeded(3):
        actual = [draw()]
        with seeding.seeded(4):
            draw()
        assert seeding.active_seed() == 3
        assert [*actual, draw()] == expected
    assert seeding.active_seed() is None


def test_a_state_can_be_restored_twice() -> None:
    state = seeding.save_state()
    first = draw()
    seeding.restore_state(state)
    second = draw()
    seeding.restore_state(state)
    assert draw() == second == first


def test_flags_left_changed_are_reported_and_restored() -> None:
    state = seeding.save_state()
    np.seterr(over="raise")
    assert seeding.restore_state(state) == ["numpy errstate was left at over=raise; restored to over=warn"]
    assert np.geterr()["over"] == "warn"
    assert seeding.restore_state(state) == []


def test_draws_are_not_reported_as_changed_flags() -> None:
    state = seeding.save_state()
    draw()
    assert seeding.restore_state(state) == []


def test_generators_can_be_restored_without_flags_so_that_a_leak_stays_visible() -> None:
    state = seeding.save_state()
    first = draw()
    np.seterr(over="raise")
    assert seeding.restore_state(state, flags=False) == []
    assert draw() == first
    assert seeding.changed_flags(state) == ["numpy errstate is over=raise, was over=warn"]
    assert np.geterr()["over"] == "raise"
    seeding.restore_state(state)
    assert seeding.changed_flags(state) == []


def test_a_generator_that_cannot_be_restored_is_named_and_the_others_are_restored() -> None:
    def fail(_: object) -> None:
        raise OSError("gone")

    generator = seeding.register_generator("broken", lambda seed: None, lambda: 1, fail)
    try:
        state = seeding.save_state()
        first = draw()
        np.seterr(over="raise")
        with pytest.raises(ReproError, match=r"could not restore generator 'broken' .*OSError: gone"):
            seeding.restore_state(state)
        assert draw() == first
        assert np.geterr()["over"] == "warn"
    finally:
        seeding.unregister_generator(generator)


def test_settings_can_be_written_as_json() -> None:
    settings = seeding.read_settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["numpy.errstate"]["over"] == "warn"  # type: ignore[index,call-overload]
