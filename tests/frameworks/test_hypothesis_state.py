"""Generators registered with hypothesis.register_random, and Hypothesis' own generator."""

from __future__ import annotations

import gc
import random

import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import assert_follows_seed

hypothesis = pytest.importorskip("hypothesis")

# A local variable keeps each generator alive for as long as its test needs it.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random` was passed an object")


def test_a_generator_registered_with_hypothesis_is_seeded_and_restored() -> None:
    rng = random.Random(99)
    hypothesis.register_random(rng)
    before = rng.getstate()
    assert_follows_seed(rng.random)
    assert rng.getstate() == before


def test_a_generator_garbage_collected_since_saving_is_ignored() -> None:
    rng = random.Random(99)
    hypothesis.register_random(rng)
    state = seeding.save_state()
    del rng
    gc.collect()
    seeding.seed_everything(3)
    assert seeding.restore_state(state) == []


def test_a_generator_registered_since_saving_is_not_changed() -> None:
    state = seeding.save_state()
    rng = random.Random(99)
    hypothesis.register_random(rng)
    assert seeding.restore_state(state) == []
    assert rng.getstate() == random.Random(99).getstate()


def test_a_generator_of_another_class_is_seeded_by_its_own_method() -> None:
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
def test_hypothesis_draws_the_same_examples_for_one_seed(explorer: random.Random | None) -> None:
    # Hypothesis creates its generator on first use, and does not register it then.
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

    assert_follows_seed(explore)
