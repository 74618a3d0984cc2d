"""Isolating the axes of a diverging condition, on predicates with a known answer."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest

from pytest_repro.axes.isolate import count_fresh_runs, isolate
from pytest_repro.model import Condition

NAMES = ("hash_seed", "threads", "isa", "file_order", "clock", "timezone")
FULL = Condition(tuple((name, 1) for name in NAMES))


def differs_with(*needed: str) -> Callable[[Condition], bool]:
    return lambda condition: set(needed) <= set(condition.as_dict())


@pytest.mark.parametrize("name", NAMES)
def test_a_single_axis_is_found(name: str) -> None:
    found = isolate(differs_with(name), FULL)
    assert (found.status, found.axes, found.alone) == ("isolated", (name,), (name,))
    assert set(found.cleared) == set(NAMES) - {name}


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_axes_that_only_differ_together_are_found_exactly(size: int) -> None:
    for needed in itertools.combinations(NAMES, size):
        found = isolate(differs_with(*needed), FULL)
        assert (found.status, found.axes, found.alone) == ("isolated", needed, ())


def test_two_independent_axes_are_both_reported() -> None:
    found = isolate(lambda c: bool({"threads", "clock"} & set(c.as_dict())), FULL)
    assert found.axes == ("threads",)
    assert found.alone == ("threads", "clock")


def test_a_divergence_without_any_axis_is_blamed_on_none() -> None:
    found = isolate(lambda c: True, FULL)
    assert (found.status, found.axes, found.probes) == ("repeat", (), 1)


def test_a_divergence_that_does_not_recur_is_not_isolated() -> None:
    found = isolate(lambda c: False, FULL)
    assert (found.status, found.axes) == ("not_isolated", ())
    assert "does not differ when it is run again" in found.reason


def test_one_axis_that_does_not_recur_is_not_isolated() -> None:
    assert isolate(lambda c: False, Condition((("threads", 2),))).status == "not_isolated"


def test_a_condition_that_hides_its_own_fault_still_yields_a_set_that_differs() -> None:
    """Non-monotone: threads differ, unless isa is varied too."""

    def differs(condition: Condition) -> bool:
        names = set(condition.as_dict())
        return ("threads" in names and "isa" not in names) or names == set(NAMES)

    assert isolate(differs, FULL).axes == ("threads",)


def test_non_monotone_sets_are_never_reported_without_differing() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        subsets = [frozenset(c) for n in range(1, 7) for c in itertools.combinations(NAMES, n)]
        bad = {s for s in subsets if rng.random() < 0.15} | {frozenset(NAMES)}
        found = isolate(lambda c, bad=bad: frozenset(c.as_dict()) in bad, FULL, max_probes=200)  # type: ignore[misc]
        assert found.status == "isolated"
        assert frozenset(found.axes) in bad
        assert all(frozenset({name}) in bad for name in found.alone)


def test_a_result_that_changes_by_chance_is_hardly_ever_blamed_on_an_axis() -> None:
    wrong = 0
    for seed in range(2000):
        rng = random.Random(seed)
        wrong += isolate(lambda c, rng=rng: rng.random() < 0.5, FULL).status == "isolated"  # type: ignore[misc]
    assert wrong / 2000 < 0.01


def test_a_rare_chance_difference_is_not_blamed_on_an_axis() -> None:
    wrong = 0
    for seed in range(2000):
        rng = random.Random(seed)
        wrong += isolate(lambda c, rng=rng: rng.random() < 0.1, FULL).status == "isolated"  # type: ignore[misc]
    assert wrong / 2000 < 0.005


def test_no_condition_is_run_twice_before_it_is_confirmed() -> None:
    asked: list[Condition] = []

    def differs(condition: Condition) -> bool:
        asked.append(condition)
        return {"threads", "clock", "isa"} <= set(condition.as_dict())

    found = isolate(differs, FULL, confirmations=0)
    assert found.axes == ("threads", "isa", "clock")
    assert len(asked) == len(set(asked)) == found.probes


def test_values_and_their_order_reach_the_probe() -> None:
    asked: list[Condition] = []
    isolate(lambda c: bool(asked.append(c)), Condition((("b", 2), ("a", [1]))))  # type: ignore[func-returns-value]
    assert asked[1:3] == [Condition((("b", 2),)), Condition((("a", [1]),))]


def test_probes_are_bounded_and_running_out_names_no_axis() -> None:
    found = isolate(differs_with("threads", "isa"), FULL, max_probes=8)
    assert (found.status, found.axes) == ("not_isolated", ())
    assert found.probes == 8
    assert "8 runs" in found.reason


def test_an_error_in_a_probe_is_not_swallowed() -> None:
    def differs(condition: Condition) -> bool:
        raise RuntimeError("the child died")

    with pytest.raises(RuntimeError, match="child died"):
        isolate(differs, FULL)


def blame_by_chance(chances: tuple[float, ...], values: int) -> float:
    """Return the probability that an axis is blamed for results that each interpreter draws from these chances."""
    blamed = 0.0
    for drawn in itertools.product(range(len(chances)), repeat=values):
        results = len(set(drawn))
        if results < 2:
            continue
        fresh = count_fresh_runs(values, results)
        other = next(result for result in drawn if result != drawn[0])
        repeats = chances[drawn[0]] ** ((fresh + 1) // 2) * chances[other] ** (fresh // 2)
        blamed += math.prod(chances[result] for result in drawn) * repeats
    return blamed


@pytest.mark.parametrize("values", [2, 3, 4, 5, 6])
def test_a_result_that_each_interpreter_draws_is_blamed_on_an_axis_in_less_than_one_test_of_a_hundred(
    values: int,
) -> None:
    dice = [(1 / faces,) * faces for faces in range(2, 9) if faces**values <= 50_000]
    coins = [(k / 20, 1 - k / 20) for k in range(1, 20)]
    others = [(0.6, 0.2, 0.2), (0.4, 0.4, 0.2), (0.5, 0.3, 0.1, 0.1), (0.4, 0.3, 0.2, 0.1)]
    assert max(blame_by_chance(chances, values) for chances in [*dice, *coins, *others]) < 0.01
