"""Registration of other packages' generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_repro import UsageError, seeding
from pytest_repro.errors import ReproError


@pytest.fixture
def rng() -> Iterator[random.Random]:
    """A generator that is registered during the test."""
    rng = random.Random(99)
    generator = seeding.register_generator("mine", rng.seed, rng.getstate, rng.setstate)
    yield rng
    seeding.unregister_generator(generator)


def test_a_registered_generator_is_seeded_and_restored(rng: random.Random) -> None:
    before = rng.getstate()
    with seeding.seeded(3):
        first = rng.random()
    with seeding.seeded(3):
        assert rng.random() == first
    assert rng.getstate() == before


def test_an_unregistered_generator_is_not_seeded(rng: random.Random) -> None:
    seeding.unregister_generator(seeding.register_generator("mine", rng.seed, rng.getstate, rng.setstate))
    before = rng.getstate()
    seeding.seed_everything(3)
    assert rng.getstate() == before


def test_a_name_used_by_another_generator_is_rejected(rng: random.Random) -> None:
    other = random.Random()
    with pytest.raises(UsageError, match="generator 'mine' is already registered"):
        seeding.register_generator("mine", other.seed, other.getstate, other.setstate)
    # Registering the same one again is allowed, because a plugin may be configured twice in one process.
    seeding.register_generator("mine", rng.seed, rng.getstate, rng.setstate)


@pytest.mark.parametrize(
    "name, seed, save, restore, message",
    [
        ("", print, dict, print, "a generator's name"),
        (" ", print, dict, print, "a generator's name"),
        (3, print, dict, print, "a generator's name"),
        ("x", None, dict, print, "generator 'x': seed must be callable, got NoneType"),
        ("x", print, 7, print, "generator 'x': save must be callable, got int"),
        ("x", print, dict, "no", "generator 'x': restore must be callable, got str"),
        ("x", print, lambda: None, print, r"generator 'x': save\(\) returned None"),
    ],
)
def test_an_invalid_generator_is_rejected(name: Any, seed: Any, save: Any, restore: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        seeding.register_generator(name, seed, save, restore)


def test_a_generator_that_fails_is_named() -> None:
    def fail(seed: int) -> None:
        raise OSError("no entropy")

    generator = seeding.register_generator("broken", fail, lambda: 1, lambda state: None)
    try:
        with pytest.raises(ReproError, match=r"generator 'broken': seed\(\) raised OSError: no entropy"):
            seeding.seed_everything(3)
    finally:
        seeding.unregister_generator(generator)


def as_hook_result(name: str) -> SimpleNamespace:
    rng = random.Random(1)
    return SimpleNamespace(name=name, seed=rng.seed, save=rng.getstate, restore=rng.setstate)


def test_a_hook_may_return_one_generator_or_several() -> None:
    registered = seeding.register_from_hook([as_hook_result("a"), [as_hook_result("b"), as_hook_result("c")], []])
    for generator in registered:
        seeding.unregister_generator(generator)
    assert [generator.name for generator in registered] == ["a", "b", "c"]


@pytest.mark.parametrize("result", ["mine", SimpleNamespace(name="x", seed=print), 7])
def test_an_invalid_hook_result_is_rejected_with_the_missing_attributes(result: object) -> None:
    with pytest.raises(UsageError, match=r"pytest_repro_register_rng returned .*, which has no .*save, restore"):
        seeding.register_from_hook([result])


def test_a_rejected_hook_result_registers_nothing() -> None:
    with pytest.raises(UsageError):
        seeding.register_from_hook([[as_hook_result("first"), 7]])
    # This would be rejected if the name were used.
    for generator in seeding.register_from_hook([as_hook_result("first")]):
        seeding.unregister_generator(generator)
