"""The differences that a record allows, next to those that its test allows now.

The narrower of the two decides: a bound that was loosened after the record was made must not pass for the record's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.model import Artifacts, TolerancePolicy
from pytest_repro.model.reported import Circumstance
from pytest_repro.records.differences import make_circumstance
from pytest_repro.records.policy import read_policy

_UNKNOWN = "not recorded"


def describe_rules(policy: TolerancePolicy) -> list[list[str]]:
    """Return the tolerances in the form of a record: pairs of a glob and what it allows, in order."""
    return [[glob, tolerance.describe()] for glob, tolerance in policy.rules]


def read_allowed(recorded: Mapping[str, Any], present: TolerancePolicy, *compared: Artifacts) -> TolerancePolicy | None:
    """Return the tolerances that a record states, or None if they cannot be applied here.

    Globs that match none of the artifacts are left out. What is described as the present tolerances are is taken for
    them: no record holds the reference of ``Tolerance.auto``.
    """
    if recorded.get("tolerance") == describe_rules(present):
        return present
    try:
        found = read_policy(recorded.get("bounds"))
    except RecordError:
        return None
    if describe_rules(found) != recorded.get("tolerance"):
        return None
    names = [name for each in compared for name in each.names]
    unmatched = found.unmatched(names, [path for each in compared for path in each.leaves])
    return TolerancePolicy(tuple(rule for rule in found.rules if rule[0] not in unmatched))


def find_changed_bounds(recorded: Mapping[str, Any], present: TolerancePolicy, tier: str) -> list[Circumstance]:
    """Return what the record and the test allow differently, in the order of the globs."""
    found = [*_changed_rules(recorded.get("tolerance"), present)]
    if (before := recorded.get("tier", tier)) != tier:
        found.append(make_circumstance("tolerance", "tier", str(before), tier))
    return found


def _changed_rules(rules: Any, present: TolerancePolicy) -> Iterator[Circumstance]:
    here = describe_rules(present)
    if rules == here:
        return
    if not isinstance(rules, list) or not all(isinstance(rule, list) and len(rule) == 2 for rule in rules):
        yield make_circumstance("tolerance", "", _UNKNOWN, say_rules(here))
        return
    before, now = ({str(glob): str(text) for glob, text in side} for side in (rules, here))
    if [*before] != [*now] or before == now:
        # Which glob comes first decides for an artifact that two of them match.
        yield make_circumstance("tolerance", "", say_rules(rules), say_rules(here))
        return
    for glob in now:
        if before[glob] != now[glob]:
            yield make_circumstance("tolerance", "" if glob == "*" else glob, before[glob], now[glob])


def say_rules(rules: Any) -> str:
    """Return the tolerances of a record as a phrase."""
    if not isinstance(rules, list) or not rules:
        return _UNKNOWN
    pairs = [[*map(str, rule)] if isinstance(rule, list) else [str(rule)] for rule in rules]
    return "; ".join(pair[1] if len(pair) == 2 and pair[0] == "*" else ": ".join(pair) for pair in pairs)
