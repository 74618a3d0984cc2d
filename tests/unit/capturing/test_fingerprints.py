"""Fingerprints of state: which changes of a value they show."""

from __future__ import annotations

import collections
import functools
import itertools
import random
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing.fingerprints import fingerprint, generator_state


def test_a_sign_and_an_order_change_a_fingerprint() -> None:
    base = np.array([1.0, 0.0, 2.0])
    prints = {fingerprint(value) for value in (base, base[::-1], np.array([1.0, -0.0, 2.0]), [1, 2], [2, 1])}
    assert len(prints) == 5


def test_an_object_that_contains_itself_has_a_fingerprint() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    assert fingerprint(loop) == fingerprint(loop)
    assert fingerprint(functools.partial(int, "1")) != fingerprint(random.Random(1))


class Registry(dict[str, int]):
    """Mapping that keeps its items elsewhere."""

    def __init__(self, **items: int) -> None:
        self._items = items

    def keys(self) -> Any:
        return self._items.keys()

    def values(self) -> Any:
        return self._items.values()


def count(start: int) -> Any:
    while True:
        yield start
        start += 1


def advanced(iterator: Any) -> Any:
    next(iterator)
    return iterator


def reordered() -> Any:
    found = collections.OrderedDict(a=1, b=2)
    found.move_to_end("a")
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/tmp/tmpabc12345/x", "/tmp/tmpdef67890/x"),
        (itertools.count(1), itertools.count(2)),
        (iter([1, 2]), advanced(iter([1, 2]))),
        (count(1), advanced(count(1))),
        (functools.partial(int, "1"), functools.partial(int, "2")),
        (collections.OrderedDict(a=1, b=2), reordered()),
        (Registry(a=1), Registry(a=2)),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (random.Random(0), random.Random(1)),
        (np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 2], mask=[False, False])),
        (np.array([[1], None], dtype=object), np.array([[2], None], dtype=object)),
    ],
)
def test_a_change_of_state_changes_the_fingerprint(one: object, other: object) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_the_memory_order_of_an_array_does_not_count() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint(array) == fingerprint(np.asfortranarray(array))


def test_the_state_of_a_generator_is_read_without_a_draw() -> None:
    for generator in (np.random.default_rng(0), np.random.RandomState(0), random.Random(0)):
        assert generator_state(generator) == generator_state(generator) is not None
    assert generator_state(1) is None
