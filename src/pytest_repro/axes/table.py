"""The built-in axes by name, each imported when it is first needed."""

from __future__ import annotations

import functools
import importlib

from pytest_repro.axes.base import BuiltInAxis
from pytest_repro.axes.spec import BUILT_IN_NAMES

_MODULES = {name: f"pytest_repro.axes.{name}" for name in BUILT_IN_NAMES} | {
    # Not named after their axis: `locale` would be mistaken for the standard library's.
    "locale": "pytest_repro.axes.locales",
}


@functools.cache
def find_axis(name: str) -> BuiltInAxis:
    """Return a built-in axis.

    Raises
    ------
    KeyError
        If there is none of that name: it is an argument of the test.
    """
    axis: BuiltInAxis = importlib.import_module(_MODULES[name]).AXIS
    return axis


def is_built_in(name: str) -> bool:
    """Return whether a name is a built-in axis rather than an argument of the test."""
    return name in _MODULES
