"""Statements by which a row's result depends on the other rows of its batch.

A statistic over the batch, its longest row, or an array with a row and a column for each row of the batch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import NamedTuple

from pytest_repro.diagnosis.trace_reading import Event
from pytest_repro.diagnosis.trace_statements import MODULES, calls_in, find_statement
from pytest_repro.model import Location
from pytest_repro.tracing.statements import read_source

#: Functions that return one value for many rows.
_STATISTICS = frozenset({
    "amax", "amin", "average", "cov", "max", "mean", "median", "min", "nanmax", "nanmean", "nanmedian", "nanmin",
    "nanstd", "nanvar", "percentile", "ptp", "quantile", "std", "var", "var_mean", "std_mean",
})  # fmt: skip
#: Functions that return a value for each row that depends on all of them.
_OF_ALL_ROWS = frozenset({
    "argsort", "cut", "fit_transform", "minmax_scale", "qcut", "quantile_transform", "rank", "rankdata", "robust_scale",
    "scale", "zscore",
})  # fmt: skip
#: Functions of all elements along an axis, which often enough is the one within a row.
_OVER_AN_AXIS = frozenset({
    "cumsum", "log_softmax", "logsumexp", "norm", "normalize", "prod", "softmax", "sort", "sum", "topk",
})  # fmt: skip
_INTEGER = re.compile(r"-?\d+")
_AXES = frozenset({"axis", "dim"})
_ARRAYS = ("ndarray", "Tensor", "Series", "DataFrame")
_SQUARE = re.compile(r"\((\d+), (\d+)\)")
_LEADING = re.compile(r"\((\d+),")


class Neighbours(NamedTuple):
    """Places at which a row's result comes to depend on other rows: a statistic, the longest row, each with each."""

    statistic: Location | None = None
    longest: Location | None = None
    crossed: Location | None = None


def is_crossed(expected: Event, actual: Event, sizes: tuple[int, int]) -> bool:
    """Return whether a statement makes an array with a row and a column for each row of the batch.

    Parameters
    ----------
    expected, actual : Event
        The statement in either run.
    sizes : (int, int)
        Size of the batches in either run. The smaller one decides, since the larger may exceed the number of rows.
    """
    for name in expected.changes.keys() & actual.changes.keys():
        sides = [_SQUARE.search(event.changes[name].text.partition(":")[0]) for event in (expected, actual)]
        shapes = [(int(side[1]), int(side[2])) for side in sides if side]
        are_square = len(shapes) == 2 and all(rows == columns for rows, columns in shapes)
        if are_square and _are_batches(shapes[0][0], shapes[1][0], sizes):
            return True
    return False


def _are_batches(one: int, other: int, sizes: tuple[int, int]) -> bool:
    return one != other and (one, other)[sizes.index(min(sizes))] == min(sizes)


def find_reduced(pairs: Iterable[tuple[Event, Event]], sizes: tuple[int, int]) -> Event | None:
    """Return the first statement that reduces an array as long as the batch over its first axis, if there is one.

    Parameters
    ----------
    pairs : iterable of (Event, Event)
        The statements that both runs have, in their order.
    sizes : (int, int)
        Size of the batches in either run.
    """
    batches: set[tuple[int, str]] = set()
    calls: dict[tuple[str, int], list[ast.Call]] = {}
    for expected, actual in pairs:
        place = actual.frame.code.file, actual.line
        if place not in calls:
            calls[place] = [call for call, name in calls_in(read_source(*place)) if name in _OVER_AN_AXIS]
        known = {name for frame, name in batches if frame == actual.frame.number}
        is_array = _makes_array(actual)
        if any(_mentions(call, known) and _is_over_rows(call, makes_array=is_array) for call in calls[place]):
            return actual
        for name in expected.changes.keys() & actual.changes.keys():
            sides = [_LEADING.search(event.changes[name].text.partition(":")[0]) for event in (expected, actual)]
            lengths = [int(side[1]) for side in sides if side]
            key = actual.frame.number, name
            if len(lengths) == 2 and _are_batches(lengths[0], lengths[1], sizes):
                batches.add(key)
            else:
                batches.discard(key)
    return None


def _mentions(call: ast.Call, names: set[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(call))


def find_statistic(events: Iterable[Event]) -> Event | None:
    """Return the first statement that takes a statistic over rows and uses it, if there is one."""
    return find_statement(events, lambda source, event: _takes_statistic(source, makes_array=_makes_array(event)))


def find_longest(events: Iterable[Event]) -> Event | None:
    """Return the first statement that takes the largest of several integers, as padding does, if there is one."""
    return find_statement(events, lambda source, event: _makes_integer(event) and _takes_largest(source))


def _makes_integer(event: Event) -> bool:
    return any(_INTEGER.fullmatch(value.text) for value in event.changes.values())


def _takes_largest(source: str) -> bool:
    """Return whether a statement calls Python's own `max` with one argument, of which it takes the largest."""
    return any(
        name == "max" and isinstance(call.func, ast.Name) and len(call.args) == 1 for call, name in calls_in(source)
    )


def _makes_array(event: Event) -> bool:
    return any(value.text.startswith(_ARRAYS) for value in event.changes.values())


def _takes_statistic(source: str, *, makes_array: bool) -> bool:
    """Return whether a statement takes a statistic over the first axis, or over a whole array.

    A statistic of all elements counts only where the statement makes an array: others are losses and metrics.
    """
    return any(
        name in _OF_ALL_ROWS or (name in _STATISTICS and _is_over_rows(call, makes_array=makes_array))
        for call, name in calls_in(source)
        # Python's own functions take lists, not rows.
        if not (isinstance(call.func, ast.Name) and name in ("max", "min"))
    )


def _is_over_rows(call: ast.Call, *, makes_array: bool) -> bool:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    # A function takes the array before the axis; a method of the array does not.
    is_function = owner is None or (isinstance(owner, ast.Name) and owner.id in MODULES)
    given = [keyword.value for keyword in call.keywords if keyword.arg in _AXES]
    given += call.args[1:2] if is_function else call.args[:1]
    if not given:
        return makes_array
    return isinstance(given[0], ast.Constant) and given[0].value in (0, "index")
