from __future__ import annotations

import dataclasses

import pytest

from pytest_repro.diagnosis.naming import name_order
from pytest_repro.model import FirstDivergence, Location

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
