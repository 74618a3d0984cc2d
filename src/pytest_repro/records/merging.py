"""Collections of several environments compared: a cell per test and environment, groups of equal results, splits."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

from pytest_repro.errors import RecordError, ReproError
from pytest_repro.model import Comparison, Verdict
from pytest_repro.model.merged import (
    CellKind,
    Explanation,
    MergedCell,
    MergedEnvironment,
    MergedSession,
    MergedTest,
    Split,
)
from pytest_repro.model.reported import Circumstance, Omission, RecordDifference, published_figures
from pytest_repro.records.checking import Tier, choose_tier, compare_by_tier
from pytest_repro.records.collection import CollectedTest, Collection
from pytest_repro.records.differences import find_differences, find_unrecorded
from pytest_repro.records.mergeable import check_mergeable, describe_code
from pytest_repro.records.policy import read_policy
from pytest_repro.records.splits import explain_split

#: Differing artifacts kept for a cell, of which the records have all, and omissions for a test.
MAX_DIFFERENCES = 10
MAX_OMISSIONS = 100
MAX_COMMANDS = 3
#: Facts that must agree, or results are of two questions: part -> the words for it.
_BASIS = {"policy": "tolerance", "condition": "condition", "config": "hyperparameters", "data": "data"}
#: What no collector knows of, beside what :func:`find_unrecorded` lists.
_UNRECORDED = ("the kernel of the operating system, firmware and microcode", "the load of the machine")
#: Weight of a fact from which it is a likely explanation: not that of a container, a lock file, another package.
_LIKELY = 40
_OWN_SPREAD = "the test's own runs differ within its tolerance, so their bits may be divided by chance"
Groups = tuple[tuple[int, ...], ...]
#: A result, and the collection that has its arrays.
_Held = tuple[Collection, CollectedTest]


def merge_collections(
    collections: Sequence[Collection], *, baseline: str | None = None, absent: Mapping[str, Sequence[str]] | None = None
) -> MergedSession:
    """Compare collections, each of which has been checked.

    Parameters
    ----------
    collections : sequence of Collection
        Two at least.
    baseline : str, optional
        Label of the environment that the others are compared with. Default: the first of the largest group.
    absent : mapping of str -> sequence of str, optional
        Label -> tests whose arrays are not here.

    Raises
    ------
    RecordError
        If the collections cannot be compared with each other; all reasons are listed.
    UsageError
        If no environment has the baseline's label.
    """
    notes = check_mergeable(collections, baseline)
    merge = _Merge(collections, baseline)
    for label, tests in (absent or {}).items():
        if tests:
            notes.append(f"{label}: the arrays of {len(tests):,} test{'s' * (len(tests) != 1)} are not in the folder")
    return merge.run(notes)


class _Merge:
    """One merge."""

    def __init__(self, collections: Sequence[Collection], baseline: str | None) -> None:
        self._collections = collections
        self._given = baseline
        self._differences: dict[tuple[Any, ...], list[Circumstance]] = {}
        self._comparisons: dict[tuple[Any, ...], MergedCell] = {}
        self._plain: dict[tuple[CellKind, int], MergedCell] = {}
        self._uncollected = [{each.name: each for each in c.manifest.uncollected} for c in collections]
        self._selected = [set(c.manifest.selection.selected) if c.manifest.selection else None for c in collections]
        self._deselected = [
            set(c.manifest.selection.deselected) if c.manifest.selection else set[str]() for c in collections
        ]

    def run(self, notes: list[str]) -> MergedSession:
        groups = self._group_environments()
        index, reason = self._choose_baseline(groups)
        tests = tuple(self._merge_test(nodeid, index) for nodeid in self._nodeids)
        return MergedSession(
            baseline=self._collections[index].label,
            baseline_reason=reason,
            environments=tuple(self._describe_environments(groups, tests)),
            tests=tests,
            groups=tuple(tuple(self._collections[each].label for each in group) for group in groups),
            common=len(self._common),
            splits=tuple(self._find_splits(tests)),
            notes=tuple(notes),
            code=describe_code(self._collections),
            counts=dict(Counter(cell.kind for test in tests if not test.is_skipped for cell in test.cells)),
        )

    @cached_property
    def _nodeids(self) -> list[str]:
        """Names of all tests that some environment selected, in their order if it is the same everywhere."""
        orders = {c.manifest.selection.selected if c.manifest.selection else tuple(c.tests) for c in self._collections}
        names = dict.fromkeys(name for order in orders for name in order)
        names |= dict.fromkeys(name for collection in self._collections for name in collection.tests)
        return [*names] if len(orders) == 1 else sorted(names)

    @cached_property
    def _common(self) -> list[str]:
        """Tests with a result in every environment that has any."""
        having = [each for each in map(self._results, range(len(self._collections))) if each]
        return [name for name in self._nodeids if having and all(name in each for each in having)]

    def _results(self, index: int) -> dict[str, CollectedTest]:
        return {name: t for name, t in self._collections[index].tests.items() if t.status == "recorded"}

    def _group_environments(self) -> Groups:
        """Group environments by the bits of all common tests. Environments without a result belong to no group."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for index, collection in enumerate(self._collections):
            tests = collection.tests
            if self._common and all(name in tests and tests[name].status == "recorded" for name in self._common):
                found.setdefault(tuple(_result(tests[name]) for name in self._common), []).append(index)
        return tuple(map(tuple, sorted(found.values(), key=lambda group: (-len(group), group[0]))))

    def _choose_baseline(self, groups: Groups) -> tuple[int, str]:
        if self._given is not None:
            index = next(i for i, each in enumerate(self._collections) if each.label == self._given)
            return index, "as given by --baseline"
        if not groups:
            return 0, "the first one, since no test has a result everywhere"
        largest = groups[0]
        if len(largest) == len(self._collections):
            return largest[0], "the first one: all agree in the tests that all have"
        if len(largest) == 1 and len(groups) > 1:
            return largest[0], "the first one: no two environments agree in all tests"
        return largest[0], f"the first of the largest group ({len(largest)} of {len(self._collections)} environments)"

    def _merge_test(self, nodeid: str, preferred: int) -> MergedTest:
        tests = [collection.tests.get(nodeid) for collection in self._collections]
        recorded = {i: test for i, test in enumerate(tests) if test is not None and test.status == "recorded"}
        base = self._baseline_of(recorded, preferred)
        groups: dict[Any, list[int]] = {}
        for i in sorted(recorded, key=lambda each: (each != base, each)):
            if not self._find_other_basis(recorded[base or 0], recorded[i]) if base is not None else False:
                groups.setdefault(_result(recorded[i]), []).append(i)
        numbers = {i: number for number, group in enumerate(groups.values()) for i in group}
        cells = []
        for i, test in enumerate(tests):
            if base is not None and i in recorded:
                cells.append(self._compare(base, i, recorded[base], recorded[i], numbers.get(i)))
            else:
                cells.append(self._explain_absence(i, nodeid, test))
        omitted = dict.fromkeys(value for test in tests if test is not None for value in test.not_compared)
        omissions: tuple[Omission, ...] = tuple(omitted)[:MAX_OMISSIONS]
        # At least: the environments may have left out the same values.
        left_out = max([0, *(test.not_compared_left_out for test in tests if test is not None)])
        left_out += len(omitted) - len(omissions)
        label = None if base is None else self._collections[base].label
        return MergedTest(nodeid, label, tuple(cells), tuple(map(tuple, groups.values())), omissions, left_out)

    def _baseline_of(self, recorded: Mapping[int, CollectedTest], preferred: int) -> int | None:
        """Return the baseline of one test: another environment than the session's where that one has no result."""
        if preferred in recorded or not recorded:
            return preferred if recorded else None
        sizes = Counter(_result(test) for test in recorded.values())
        return max(recorded, key=lambda i: (sizes[_result(recorded[i])], -i))

    def _compare(
        self, base: int, index: int, expected: CollectedTest, actual: CollectedTest, number: int | None
    ) -> MergedCell:
        if base == index:
            return self._identical(actual, expected, 0)
        if other := self._find_other_basis(expected, actual):
            return MergedCell("not_comparable", f"{other}, compared with {self._collections[base].label}")
        assert number is not None
        if _result(actual) == _result(expected):
            return self._identical(actual, expected, number)
        differences = self._find_differences(base, index, expected, actual)
        demands_bits = self._policy(base, expected).get("tier") == "bits"
        tier, why = choose_tier(
            differences, demands_bits=demands_bits, repeats_bits=not (_spreads(expected) or _spreads(actual))
        )
        holders = [self._find_holder(i, test) for i, test in ((base, expected), (index, actual))]
        lacking = [self._collections[i].label for i, found in zip((base, index), holders, strict=True) if found is None]
        if lacking:
            reason = f"differs, not measured: {' and '.join(lacking)} kept no arrays"
            return MergedCell("not_measured", reason, number, tier, why)
        key = (expected.test, expected.digest, actual.digest, tier)
        if key not in self._comparisons:
            there, here = (found for found in holders if found is not None)
            policy = self._policy(base, expected)
            self._comparisons[key] = _measure(here, there, policy, tier, demands_bits=demands_bits)
        found = self._comparisons[key]
        return MergedCell(found.kind, found.reason, number, tier, why, found.differences)

    def _identical(self, actual: CollectedTest, expected: CollectedTest, number: int) -> MergedCell:
        if _spreads(actual) or _spreads(expected):
            return MergedCell("within_tolerance", f"run 1 has the same bits, but {_OWN_SPREAD}", number)
        return self._plain.setdefault(("identical", number), MergedCell("identical", group=number))

    def _find_holder(self, index: int, test: CollectedTest) -> _Held | None:
        """Return where a result's arrays are: in its own environment, or else in another one that has this result."""
        others = ((c, c.tests.get(test.test)) for c in self._collections)
        same = [(c, other) for c, other in others if other is not None and other.digest == test.digest]
        return next((held for held in ((self._collections[index], test), *same) if _has_arrays(*held)), None)

    def _policy(self, index: int, test: CollectedTest) -> dict[str, Any]:
        policy = self._collections[index].facts_of(test)["policy"]
        return policy if isinstance(policy, dict) else {}

    @staticmethod
    def _find_other_basis(expected: CollectedTest, actual: CollectedTest) -> str:
        """Return what makes two results answers to two questions, or an empty text."""
        if expected.seed != actual.seed:
            return f"another seed ({actual.seed}, not {expected.seed})"
        other = [word for part, word in _BASIS.items() if expected.facts[part] != actual.facts[part]]
        return f"other {' and '.join(other)}" if other else ""

    def _find_differences(
        self, one: int, other: int, first: CollectedTest, second: CollectedTest
    ) -> list[Circumstance]:
        """Compare the circumstances of two results, which most tests of a session share."""
        parts = sorted((first.facts.keys() | second.facts.keys()) - _BASIS.keys())
        key = tuple(test.facts.get(part) for test in (first, second) for part in parts)
        if key not in self._differences:
            sides = (
                {part: self._collections[i].facts[test.facts[part]] for part in parts if part in test.facts}
                for i, test in ((one, first), (other, second))
            )
            self._differences[key] = find_differences(*sides)
        return self._differences[key]

    def _explain_absence(self, index: int, nodeid: str, test: CollectedTest | None) -> MergedCell:
        """Return why an environment has no result of a test."""
        collection = self._collections[index]
        if test is not None:
            kind: CellKind = "inconclusive" if test.status == "not_recorded" else test.status  # type: ignore[assignment]
            return MergedCell(kind, test.reason)
        selected = self._selected[index]
        if nodeid in self._deselected[index]:
            return MergedCell("deselected", "deselected there (by -m, -k or --deselect)")
        if selected is not None and nodeid in selected:
            return MergedCell("not_run", "the session ended before it")
        for name in _containers(nodeid):
            if (found := self._uncollected[index].get(name)) is not None:
                verb = "could not be collected" if found.outcome == "failed" else "was skipped as a whole"
                return MergedCell("not_collected", f"{name} {verb}: {found.reason}")
        if not collection.manifest.is_finished:
            return MergedCell("not_run", "the session ended before it, or without it")
        if not collection.manifest.takes_all and any(c.manifest.takes_all for c in self._collections):
            return MergedCell("missing", "no such reproducible test there; it was collected without --repro-all")
        return MergedCell("missing", "no such reproducible test there")

    def _describe_environments(self, groups: Groups, tests: Sequence[MergedTest]) -> Iterator[MergedEnvironment]:
        counted = sum(not test.is_skipped for test in tests)
        of_group = {each: number for number, group in enumerate(groups) for each in group}
        for index, collection in enumerate(self._collections):
            manifest, results = collection.manifest, len(self._results(index))
            yield MergedEnvironment(
                collection.label,
                manifest.fingerprint,
                (*summarise_environment(manifest.environment), f"pytest {manifest.pytest}"),
                manifest.is_finished,
                results,
                counted - results,
                of_group.get(index),
            )

    def _find_splits(self, tests: Sequence[MergedTest]) -> Iterator[Split]:
        """Group the tests whose results divide the environments alike, those of the most tests first."""
        found: dict[tuple[Groups, tuple[Explanation, ...], str], list[str]] = {}
        for test in tests:
            if len(test.groups) > 1:
                explanations, unexplained = self._explain(test)
                key = _in_order(test.groups), tuple(explanations), unexplained
                found.setdefault(key, []).append(test.nodeid)
        for (groups, explained, unexplained), names in sorted(found.items(), key=lambda item: -len(item[1])):
            options = dict.fromkeys(f.confirm for e in explained for f in e.facts if f.confirm is not None)
            yield Split(
                tuple(tuple(self._collections[i].label for i in group) for group in groups),
                tuple(names),
                explained,
                unexplained,
                tuple(f"pytest {shlex.quote(names[0])} {option}" for option in [*options][:MAX_COMMANDS]),
            )

    def _explain(self, test: MergedTest) -> tuple[list[Explanation], str]:
        tests = {i: self._collections[i].tests[test.nodeid] for group in test.groups for i in group}
        if any(map(_spreads, tests.values())):
            return [], f"No explanation was searched for: {_OWN_SPREAD}."
        groups = _in_order(test.groups)
        explanations = explain_split(groups, lambda a, b: self._find_differences(a, b, tests[a], tests[b]))
        explained = {each.group for each in explanations}
        # One group more than those that were set apart needs no explanation of its own: it is the rest.
        rest = [number for number in range(len(groups)) if number not in explained]
        if None in explained or len(rest) <= 1:
            is_likely = any(fact.weight >= _LIKELY for each in explanations for fact in each.facts)
            unlikely = "Nothing that usually changes bits explains it."
            return explanations, "" if is_likely else f"{unlikely} {self._say_unrecorded(sorted(tests), tests)}"
        return explanations, self._say_unexplained(groups, rest, tests)

    def _say_unexplained(self, groups: Groups, rest: Sequence[int], tests: Mapping[int, CollectedTest]) -> str:
        members = [i for number in rest for i in groups[number]]
        group_of = {i: number for number in rest for i in groups[number]}
        alike = [
            (self._collections[a].label, self._collections[b].label)
            for a, b in combinations(members, 2)
            if group_of[a] != group_of[b] and not self._find_differences(a, b, tests[a], tests[b])
        ]
        lines = ["No recorded difference explains it."]
        if alike:
            lines.append(f"{alike[0][0]} and {alike[0][1]} are recorded alike and have other results.")
        return " ".join([*lines, self._say_unrecorded(members, tests)])

    def _say_unrecorded(self, members: Sequence[int], tests: Mapping[int, CollectedTest]) -> str:
        """Return what may differ between environments and is not compared."""
        facts = [self._collections[i].facts_of(tests[i]) for i in members]
        found = dict.fromkeys(text for each in facts[1:] for text in find_unrecorded(facts[0], each))
        return f"Not compared: {'; '.join([*found, *_UNRECORDED])}."


def _result(test: CollectedTest) -> tuple[Any, ...]:
    """Return what two results must have in common to be one: their bits, and what they are an answer to."""
    return (test.digest, test.seed, *(test.facts[part] for part in _BASIS))


def _spreads(test: CollectedTest) -> bool:
    """Return whether a test's own runs differ within its tolerance."""
    return test.verdict == Verdict.WITHIN_TOLERANCE.value


def _in_order(groups: Groups) -> Groups:
    """Return groups with the largest first, whatever the baseline."""
    return tuple(tuple(sorted(group)) for group in sorted(groups, key=lambda each: (-len(each), min(each))))


def _has_arrays(collection: Collection, test: CollectedTest) -> bool:
    is_here = test.payload is None or (collection.directory / test.payload.name).exists()
    return test.keeps_arrays and is_here


def _measure(
    actual: _Held, expected: _Held, allowed: Mapping[str, Any], tier: Tier, *, demands_bits: bool
) -> MergedCell:
    """Compare two results with other bits by their arrays."""
    try:
        policy = read_policy(allowed.get("bounds"))
    except RecordError as error:
        return MergedCell("not_measured", f"differs, and {error}")
    here, there = (collection.open_record(test).load() for collection, test in (actual, expected))
    try:
        comparison = compare_by_tier(here, there, policy, tier, demands_bits=demands_bits)
    except ReproError as error:
        return MergedCell("not_measured", f"differs, and cannot be measured: {str(error)[:300]}")
    return _judge(comparison)


def _judge(comparison: Comparison) -> MergedCell:
    kinds: dict[Verdict, CellKind] = {
        Verdict.IDENTICAL: "identical",
        Verdict.WITHIN_TOLERANCE: "within_tolerance",
        Verdict.DIVERGED: "diverged",
    }
    shown = (*comparison.divergences, *comparison.tolerated)[:MAX_DIFFERENCES]
    figures = tuple(RecordDifference(**published_figures(each), within=each.within) for each in shown)
    kind = kinds.get(comparison.verdict, "inconclusive")
    return MergedCell(kind, "" if kind != "inconclusive" else "nothing could be compared", differences=figures)


def _containers(nodeid: str) -> Iterator[str]:
    """Yield a test's class, module and folders, by their node ids."""
    while "::" in nodeid:
        nodeid = nodeid.rpartition("::")[0]
        yield nodeid
    while "/" in nodeid:
        nodeid = nodeid.rpartition("/")[0]
        yield nodeid


def summarise_environment(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parts of an environment, which is not trusted, by which people tell machines apart."""

    def find(*keys: str) -> Any:
        value: Any = environment
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def find_all(key: str) -> list[dict[str, Any]]:
        found = find(key)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    names = ("numpy", "scipy", "scikit-learn", "torch", "jax", "tensorflow")
    packages = [f"{name} {version}" for name in names if (version := find("packages", name, "version")) is not None]
    python = find("python", "version")
    pools = find_all("thread_pools")
    kernels = dict.fromkeys(
        f"{pool.get('internal_api')} {pool['architecture']}" for pool in pools if pool.get("architecture")
    )
    devices = [str(each.get("name")) for each in find_all("accelerators")]
    threads = dict.fromkeys(
        f"{pool['num_threads']} thread{'s' * (pool['num_threads'] != 1)}"
        for pool in pools
        if isinstance(pool.get("num_threads"), int)
    )
    known = f"Python {python}" if python else "Python unknown"
    return (known, *packages, *kernels, *threads, *devices)
