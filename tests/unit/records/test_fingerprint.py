"""The fingerprint of an environment agrees with the list of differences about what can change bits."""

from __future__ import annotations

import pytest

from pytest_repro.records.differences import find_differences
from pytest_repro.records.fingerprint import fingerprint_environment
from tests.unit.records.test_differences import CASES, FACTS, E, changed

CHANGES = [case[0] for case in CASES if case[0][0] == E]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(map(str, change[1:-1])))
def test_it_differs_exactly_where_something_that_can_change_bits_does(change):
    there = changed(*change)
    differs = any(found.changes_bits for found in find_differences(FACTS, there))
    one, other = (fingerprint_environment(facts[E]) for facts in (FACTS, there))
    assert (one != other) == differs


def test_it_has_no_reason_of_a_fact_that_is_unknown():
    facts = [changed(E, "thread_pools", {"unavailable": reason})[E] for reason in ("it took longer", "not installed")]
    assert len({fingerprint_environment(each) for each in facts}) == 1


def test_any_environment_has_one():
    for odd in ({}, {"cpu": 5, "packages": [1]}, {"packages": {"numpy": 3}}):
        assert fingerprint_environment(odd).startswith("sha256:")
