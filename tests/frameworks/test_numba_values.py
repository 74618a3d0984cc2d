"""Capture of numba's compiled functions and typed containers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.capturing import capture_tree
from tests.unit.capturing.helpers import differing

numba = pytest.importorskip("numba")


def compiled(factor: float, **options: Any) -> Any:
    @numba.njit(**options)  # type: ignore[untyped-decorator]
    def scale(x: Any) -> Any:
        return x * factor

    return scale


def typed(*values: float) -> Any:
    found = numba.typed.List()
    for value in values:
        found.append(value)
    return found


def mapping(value: float) -> Any:
    found = numba.typed.Dict()
    found["a"] = value
    return found


@pytest.mark.parametrize(
    ("first", "again", "other"),
    [
        (compiled(2.0), compiled(2.0), compiled(3.0)),
        (compiled(2.0), compiled(2.0), compiled(2.0, fastmath=True)),
        (typed(1.0, 2.0), typed(1.0, 2.0), typed(2.0, 1.0)),
        (mapping(1.0), mapping(1.0), mapping(2.0)),
    ],
)
def test_one_difference_is_seen(first: Any, again: Any, other: Any) -> None:
    assert not differing(capture_tree({"x": first}), capture_tree({"x": again}))
    assert differing(capture_tree({"x": first}), capture_tree({"x": other}))


def test_what_was_compiled_so_far_is_no_part_of_a_function() -> None:
    fresh, used = compiled(2.0), compiled(2.0)
    assert used(1.0) == 2.0
    assert not differing(capture_tree(fresh), capture_tree(used))
    assert len(capture_tree(used).leaves) < 10
