"""Saving, seeding and restoring as a whole; each framework's own tests stand in tests/frameworks."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import seeding
from pytest_repro.errors import ReproError


def draw() -> tuple[float, float]:
    return random.random(), float(np.random.rand())


def test_one_seed_gives_the_same_draws_and_another_seed_others() -> None:
    with seeding.seeded(3):
        first = draw()
    with seeding.seeded(3):
        assert draw() == first
    with seeding.seeded(4):
        other = draw()
    assert other[0] != first[0]
    assert other[1] != first[1]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_streams_go_on_after_a_block_that_raises(error: type[BaseException]) -> None:
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


def test_flags_left_changed_are_told_and_put_back() -> None:
    state = seeding.save_state()
    np.seterr(over="raise")
    assert seeding.restore_state(state) == ["numpy errstate was left at over=raise; restored to over=warn"]
    assert np.geterr()["over"] == "warn"
    assert seeding.restore_state(state) == []


def test_generators_drawn_from_are_nothing_to_tell() -> None:
    state = seeding.save_state()
    draw()
    assert seeding.restore_state(state) == []


def test_generators_alone_can_be_restored_and_the_leak_be_seen() -> None:
    state = seeding.save_state()
    first = draw()
    np.seterr(over="raise")
    assert seeding.restore_state(state, flags=False) == []
    assert draw() == first
    assert seeding.changed_flags(state) == ["numpy errstate is over=raise, was over=warn"]
    assert np.geterr()["over"] == "raise"
    seeding.restore_state(state)
    assert seeding.changed_flags(state) == []


def test_what_cannot_be_restored_is_named_and_keeps_nothing_else_from_being_restored() -> None:
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


def test_settings_are_json() -> None:
    import json

    settings = seeding.read_settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["numpy.errstate"]["over"] == "warn"  # type: ignore[index,call-overload]
