"""Helpers of the tests of captured values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.model import Artifacts


@dataclass
class Case:
    """Maker of a value, and its smallest change, made in place or by returning another value."""

    make: Callable[[], Any]
    change: Callable[[Any], Any]


def changed(case: Case) -> Any:
    value = case.make()
    other = case.change(value)
    return value if other is None else other


def differing(one: Artifacts, other: Artifacts) -> list[str]:
    """Return the paths whose leaves differ, or exist on one side only."""
    paths = dict.fromkeys([*one.leaves, *other.leaves])
    return [path for path in paths if _pick(one, path) != _pick(other, path)]


def _pick(artifacts: Artifacts, path: str) -> str | None:
    return digest(Artifacts({path: artifacts.leaves[path]})) if path in artifacts.leaves else None


def assert_captures(case: Case, *paths: str) -> None:
    """Assert that equal values are equal, a change is seen (at `paths`), and one after the capture is not."""
    before, again = capture_tree(case.make()), capture_tree(case.make())
    assert len(before) > 0
    assert differing(before, again) == []
    after = capture_tree(changed(case))
    seen = differing(before, after)
    assert seen, "the change is not seen"
    if paths:
        assert seen == list(paths)
    value = case.make()
    kept = capture_tree(value)
    case.change(value)
    assert differing(kept, before) == [], "the artifacts changed with the value"
    assert differing(capture_tree(case.make(), copy=False), before) == []


def flip(array: Any, index: Any = None) -> None:
    """Flip the lowest bit of an element of an ndarray, by default the first, in place."""
    if array.ndim == 0:
        element = array.reshape(1)
    else:
        index = (0,) * array.ndim if index is None else index if isinstance(index, tuple) else (index,)
        element = array[tuple(slice(i, i + 1) for i in index)]
    assert np.shares_memory(element, array)
    element.view(np.uint8)[...].reshape(-1)[0:1] ^= 1
