from __future__ import annotations

import dataclasses

import pytest

from pytest_repro.diagnosis.naming import name_finding, name_order, tells_generator
from pytest_repro.diagnosis.procedure import Finding, Observation
from pytest_repro.model import Artifacts, FirstDivergence, Location

PLACE = Location("test_it.py", 3, "test_it", "items = set(nodes)")
FIRST = FirstDivergence("test_it.py", 3, "test_it", "items", "items = set(nodes)", "a", "b", reordered="address")


def test_a_set_of_the_same_elements_in_another_order_shows_that_addresses_order_it() -> None:
    cause = name_order(FIRST, PLACE, shares_hash_seed=True)
    assert cause is not None
    assert (cause.code, cause.confidence, cause.location) == ("hash.address", "seen", PLACE)


@pytest.mark.parametrize("reordered", ["", "value"])
def test_other_values_show_nothing(reordered: str) -> None:
    assert name_order(dataclasses.replace(FIRST, reordered=reordered), PLACE, shares_hash_seed=True) is None


def test_under_another_hash_seed_it_may_be_the_hashes_of_strings() -> None:
    assert name_order(FIRST, PLACE, shares_hash_seed=False) is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"actual": "rng = RandomState"}, True),
        ({"actual": "streams = list of 3: Generator, Generator"}, True),
        ({"actual": "seed = 17"}, False),
        ({"actual": "rng = RandomState", "differs": False}, False),
        ({"actual": "rng = RandomState", "line": 2}, False),
        ({"actual": "rng = RandomState", "function": "other"}, False),
        ({"actual": "rng = MyGeneratorConfig"}, False),
    ],
)
def test_a_generator_that_differs_at_the_place_or_after_it_was_seeded_from_what_differs(
    row: dict[str, object], expected: bool
) -> None:
    rows = [{"function": "TestFit.test_it", "line": 4, "expected": "", "differs": True, **row}]
    assert tells_generator(rows, PLACE) is expected


def test_the_time_from_which_a_generator_is_seeded_is_told_from_the_time_itself() -> None:
    one = Observation(Artifacts(), {"sightings": []})
    finding = Finding(("time",), runs=4, differing="fresh processes", pair=(one, one))
    assert [cause.code for cause in name_finding(finding, PLACE)] == ["time.now"]
    assert [cause.code for cause in name_finding(finding, PLACE, seeds=True)] == ["time.seed"]
