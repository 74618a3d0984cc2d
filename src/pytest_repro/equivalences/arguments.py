"""Checks of the arguments that equivalence assertions take.

Each gets the name of the assertion and of the argument, for its message.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

from pytest_repro.axes.integers import check_integer
from pytest_repro.errors import MissingExtraError, UsageError


def check_callable(name: str, role: str, value: Any) -> None:
    """Raise UsageError unless a value can be called."""
    if not callable(value):
        raise UsageError(f"{name}: {role} must be a function or another callable, got {type(value).__name__}")


def check_count(name: str, role: str, value: Any, *, least: int = 1) -> int:
    """Return an integer from `least`, or raise UsageError."""
    return check_integer(f"{name}: {role}", value, least=least)


def check_counts(name: str, role: str, values: Any, *, least: int = 1, min_count: int = 1) -> tuple[int, ...]:
    """Return distinct integers from `least` in the given order, or raise UsageError if there are too few of them."""
    given = (values,) if isinstance(values, int) else values
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise UsageError(f"{name}: {role} must be integers, such as (1, 2), got {values!r}")
    counts = tuple(dict.fromkeys(check_count(name, role, value, least=least) for value in given))
    if not counts:
        raise UsageError(f"{name}: {role} is empty, so nothing would be varied")
    if len(counts) < min_count:
        raise UsageError(f"{name}: {role}={values!r} is only one number, so nothing would be varied")
    return counts


def check_choice(name: str, role: str, value: Any, choices: Iterable[str]) -> None:
    """Raise UsageError unless a value is one of the choices."""
    known = list(choices)
    if value not in known:
        raise UsageError(f"{name}: {role} must be one of {', '.join(map(repr, known))}, got {value!r}")


def require_package(purpose: str, package: str, extra: str) -> None:
    """Raise MissingExtraError unless a package is installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{purpose} needs {package}: pip install 'pytest-repro[{extra}]'")
