"""Generators given to hypothesis.register_random."""

from __future__ import annotations

import gc
import random

import pytest

from pytest_repro import seeding

hypothesis = pytest.importorskip("hypothesis")

# A local variable keeps each generator alive for as long as its test needs it.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random` was passed an object")


def test_a_generator_registered_with_hypothesis_is_seeded_and_restored() -> None:
    rng = random.Random(99)
    hypothesis.register_random(rng)
    before = rng.getstate()
    with seeding.seeded(3):
        first = rng.random()
    with seeding.seeded(3):
        assert rng.random() == first
    with seeding.seeded(4):
        assert rng.random() != first
    assert rng.getstate() == before


def test_one_that_is_collected_meanwhile_is_no_error() -> None:
    rng = random.Random(99)
    hypothesis.register_random(rng)
    state = seeding.save_state()
    del rng
    gc.collect()
    seeding.seed_everything(3)
    assert seeding.restore_state(state) == []


def test_one_that_is_registered_meanwhile_is_left_as_it_is() -> None:
    state = seeding.save_state()
    rng = random.Random(99)
    hypothesis.register_random(rng)
    assert seeding.restore_state(state) == []
    assert rng.getstate() == random.Random(99).getstate()


def test_one_that_is_no_random_object_is_seeded_by_its_own_method() -> None:
    class Counter:
        value = 0

        def seed(self, seed: int) -> None:
            self.value = seed

        def getstate(self) -> int:
            return self.value

        def setstate(self, state: int) -> None:
            self.value = state

    counter = Counter()
    hypothesis.register_random(counter)
    with seeding.seeded(17):
        assert counter.value == 17
    assert counter.value == 0


@pytest.mark.parametrize("explorer", [None, random.Random()], ids=["first test", "later test"])
def test_hypothesis_explores_the_same_examples_under_one_seed(explorer: random.Random | None) -> None:
    # Hypothesis makes its generator when it first needs it, and then does not register it.
    hypothesis.core.threadlocal._hypothesis_global_random = explorer
    from hypothesis import given, settings, strategies

    def explore() -> list[int]:
        seen = []

        @settings(database=None, max_examples=10, derandomize=False)
        @given(strategies.integers())
        def check(x: int) -> None:
            seen.append(x)

        check()
        return seen

    with seeding.seeded(3):
        first = explore()
    with seeding.seeded(3):
        assert explore() == first
    with seeding.seeded(4):
        assert explore() != first
