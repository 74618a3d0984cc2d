"""Objects replaced wherever they are bound, and places that are remembered for forks."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pytest_repro.axes import patches
from pytest_repro.axes.patches import Patches, remember_places, replace_everywhere


def original() -> str:
    return "original"


def replacement() -> str:
    return "replacement"


SWAP = {id(original): (original, replacement)}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A loaded module that has bound the function."""
    made = ModuleType("module_of_a_user")
    made.bound = original  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    yield made
    patches._known.places.clear()


def test_places_that_were_remembered_are_replaced_and_restored(module: Any) -> None:
    with remember_places(), replace_everywhere(SWAP):
        pass
    assert patches._known.places
    with replace_everywhere(SWAP):
        assert module.bound() == "replacement"
    assert module.bound() == "original"


def test_what_is_bound_after_the_first_search_is_found_by_the_next(module: Any) -> None:
    with remember_places(), replace_everywhere(SWAP):
        pass
    with replace_everywhere(SWAP):
        pass
    module.later = original
    with replace_everywhere(SWAP):
        assert module.later() == "replacement"
    assert module.later() == "original"


def test_a_module_that_was_loaded_since_is_searched(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with remember_places(), replace_everywhere(SWAP):
        pass
    other = ModuleType("module_that_came_later")
    other.bound = original  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, other.__name__, other)
    with replace_everywhere(SWAP):
        assert other.bound() == "replacement"


def test_a_name_that_was_bound_anew_since_is_left_alone(module: Any) -> None:
    with remember_places(), replace_everywhere(SWAP):
        pass
    module.bound = len
    with replace_everywhere(SWAP):
        assert module.bound is len
    assert module.bound is len


def test_an_object_that_was_not_searched_before_is_searched(module: Any) -> None:
    with remember_places(), replace_everywhere({}):
        pass
    with replace_everywhere(SWAP):
        assert module.bound() == "replacement"


def test_a_replacement_is_found_by_the_name_of_what_it_replaces() -> None:
    """As pytest-benchmark looks up its timer, and pickle a function."""
    real = time.perf_counter
    with Patches() as made:
        made.put(time, "perf_counter", lambda: 1.0)
        assert time.perf_counter() == 1.0
        assert (time.perf_counter.__module__, time.perf_counter.__name__) == ("time", "perf_counter")
        assert pickle.loads(pickle.dumps(time.perf_counter)) is time.perf_counter
        made.swap(real, replacement := lambda: 2.0)
    assert (replacement.__module__, replacement.__qualname__) == ("time", "perf_counter")
