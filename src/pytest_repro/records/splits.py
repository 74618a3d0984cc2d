"""Which recorded difference explains that environments have different results.

A fact explains a group where all environments of the group share it and no other has it, or where it is a version and
no other environment's lies in the group's range. Facts are compared by :mod:`pytest_repro.records.differences`, two
environments at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from packaging.version import InvalidVersion, Version

from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.model import JSON
from pytest_repro.model.merged import Explanation, SplitFact
from pytest_repro.model.reported import Circumstance
from pytest_repro.records.differences import MAX_POOL_DETAIL, is_pools, option_of_releases, say_pools, say_value

#: Facts of a combination.
MAX_TOGETHER = 3
#: Facts that combinations are made of, the most likely ones.
MAX_CANDIDATES = 24

Groups = Sequence[Sequence[int]]
#: Environment, environment -> the circumstances of which the first has `recorded` and the second `here`.
Differences = Callable[[int, int], Sequence[Circumstance]]


@dataclass(slots=True)
class _Fact:
    """A recorded fact, with the pairs of environments that differ in it."""

    key: tuple[str, str]
    pairs: dict[tuple[int, int], Circumstance]

    @property
    def likeliest(self) -> Circumstance:
        return max(self.pairs.values(), key=lambda found: found.weight)

    def find(self, one: int, other: int) -> Circumstance | None:
        return self.pairs.get((one, other))

    def is_shared(self, group: Sequence[int]) -> bool:
        """Return whether all environments of a group have the same."""
        return not any(self.find(one, other) for one, other in combinations(group, 2))

    def is_range(self, group: Sequence[int], outside: Iterable[int]) -> bool:
        """Return whether it is a version, and no other environment's lies between those of a group."""
        inside, others = [*map(self._version, group)], [*map(self._version, outside)]
        known = [version for version in inside if version is not None]
        if len(known) < len(inside) or None in others:
            return False
        return not any(min(known) <= version <= max(known) for version in others if version is not None)

    def _version(self, environment: int) -> Version | None:
        pairs = (found for (one, _), found in self.pairs.items() if one == environment)
        text = str(getattr(next(pairs, None), "recorded", "")).removeprefix("glibc ").partition(" ")[0]
        try:
            return Version(text)
        except InvalidVersion:
            return None

    def parts_from(self, group: Sequence[int], other: int) -> bool:
        """Return whether an environment differs from each of a group."""
        return all(self.find(each, other) is not None for each in group)


def explain_split(groups: Groups, differences: Differences) -> list[Explanation]:
    """Return the explanations of a split, the most likely first.

    Parameters
    ----------
    groups : sequence of sequences of int
        Environments with the same result, two groups at least.
    differences : callable (int, int) -> sequence of Circumstance
        Compares two environments.

    Returns
    -------
    list of Explanation
        Single facts that a group alone has, or every group has for itself (:attr:`Explanation.group`), and for groups
        that are not set apart by one, the smallest combinations that are. Empty if nothing recorded explains a group.
    """
    facts = _find_facts([each for group in groups for each in group], differences)
    found: list[Explanation] = []
    explained: set[int] = set()
    for fact in facts:
        alone = [number for number, group in enumerate(groups) if _sets_apart(fact, group, _outside(groups, group))]
        explained |= set(alone)
        # With two groups, a value that one of them has alone divides both.
        if len(alone) == len(groups) or (alone and len(groups) == 2):
            found.append(Explanation((_describe(fact, groups),)))
        else:
            found += [Explanation((_describe(fact, groups, number),), number) for number in alone]
    # Where all groups but one are set apart, that one is the rest.
    rest = [number for number in range(len(groups)) if number not in explained]
    for number in rest if len(rest) > 1 else []:
        for together in _find_together(groups[number], _outside(groups, groups[number]), facts):
            found.append(Explanation(tuple(_describe(fact, groups, number) for fact in together), number))
    # One fact is likelier than several that happen to coincide.
    return sorted(found, key=lambda each: (len(each.facts), -min(fact.weight for fact in each.facts)))


def _find_facts(environments: Sequence[int], differences: Differences) -> list[_Fact]:
    facts: dict[tuple[str, str], _Fact] = {}
    for one, other in combinations(environments, 2):
        for pair in ((one, other), (other, one)):
            for found in filter(_is_counted, differences(*pair)):
                key = _key(found)
                facts.setdefault(key, _Fact(key, {})).pairs[pair] = found
    return sorted(facts.values(), key=lambda fact: (-fact.likeliest.weight, fact.key))


def _key(found: Circumstance) -> tuple[str, str]:
    """Return what a circumstance is about: a package is the same one, whether or not the other side has it."""
    return ("package" if "package" in found.part or found.part == "project" else found.part, found.name)


def _is_counted(found: Circumstance) -> bool:
    """Return whether a circumstance may explain a result: what is unknown does not, nor another copy of this plugin."""
    return found.name.partition(" ")[0] != "pytest-repro" and not (
        is_unavailable(found.recorded) or is_unavailable(found.here)
    )


def _outside(groups: Groups, group: Sequence[int]) -> list[int]:
    return [each for other in groups if other is not group for each in other]


def _sets_apart(fact: _Fact, group: Sequence[int], outside: Iterable[int]) -> bool:
    others = [*outside]
    is_one = fact.is_shared(group) or fact.is_range(group, others)
    return is_one and all(fact.parts_from(group, other) for other in others)


def _find_together(group: Sequence[int], outside: Sequence[int], facts: Sequence[_Fact]) -> list[tuple[_Fact, ...]]:
    """Return the smallest combinations of facts that a group alone has."""
    shared = [fact for fact in facts if fact.is_shared(group)]
    covers = {fact.key: frozenset(each for each in outside if fact.parts_from(group, each)) for fact in shared}
    # Of the facts that part the group from the same environments, the most likely one stands for all.
    distinct = {covers[fact.key]: fact for fact in reversed(shared) if covers[fact.key]}
    candidates = [fact for fact in shared if distinct.get(covers[fact.key]) is fact][:MAX_CANDIDATES]
    everyone = frozenset(outside)
    for size in range(2, MAX_TOGETHER + 1):
        together = [
            chosen
            for chosen in combinations(candidates, size)
            if frozenset().union(*(covers[fact.key] for fact in chosen)) == everyone
        ]
        if together:
            return together
    return []


def _describe(fact: _Fact, groups: Groups, alone: int | None = None) -> SplitFact:
    likeliest = fact.likeliest
    found = [_values(fact, group, _outside(groups, group)) for group in groups]
    values = tell_apart(found, alone)
    confirm = likeliest.confirm
    if confirm is not None and "=python=" in confirm:
        # One of each group, since the command may be run in an environment of any.
        confirm = option_of_releases(likeliest.part, likeliest.name, [each[0] for each in found if each])
    return SplitFact(likeliest.part, likeliest.name, likeliest.weight, likeliest.changes_bits, values, confirm)


def _values(fact: _Fact, group: Sequence[int], outside: Sequence[int]) -> list[JSON]:
    """Return the values of a group's environments, as far as another environment differs."""
    found: list[JSON] = []
    for each in group:
        pairs = (fact.find(each, other) for other in (*outside, *group))
        found += [pair.recorded for pair in [next(filter(None, pairs), None)] if pair is not None]
    return found


def tell_apart(groups: Sequence[Sequence[JSON]], alone: int | None = None) -> tuple[tuple[str, ...], ...]:
    """Return the values of each group in words, each once, in the shortest form that still divides the groups.

    Parameters
    ----------
    alone : int, optional
        The one group that is to be divided from the others; by default each from each.
    """
    forms: list[Callable[[Any], str]] = [say_value]
    if all(is_pools(value) for group in groups for value in group):
        forms = [partial(say_pools, detail=detail) for detail in range(MAX_POOL_DETAIL + 1)]
    said = [[dict.fromkeys(map(say, group)) for group in groups] for say in forms]
    pairs = [(one, other) for one, other in combinations(range(len(groups)), 2) if alone in (None, one, other)]
    for values in said[:-1]:
        if not any(values[one].keys() & values[other].keys() for one, other in pairs):
            return tuple(map(tuple, values))
    return tuple(map(tuple, said[-1]))
