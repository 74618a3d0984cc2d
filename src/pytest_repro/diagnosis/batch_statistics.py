"""Statements by which each row's result hangs on the rows beside it.

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

#: What gives one value for many rows.
_STATISTICS = frozenset({
    "amax", "amin", "average", "cov", "max", "mean", "median", "min", "nanmax", "nanmean", "nanmedian", "nanmin",
    "nanstd", "nanvar", "percentile", "ptp", "quantile", "std", "var", "var_mean", "std_mean",
})  # fmt: skip
#: What gives a value for each row that hangs on all of them.
_OF_ALL_ROWS = frozenset({
    "argsort", "cut", "fit_transform", "minmax_scale", "qcut", "quantile_transform", "rank", "rankdata", "robust_scale",
    "scale", "zscore",
})  # fmt: skip
#: What makes one value of many, or each of many hang on all: of the elements of one row, as often as not.
_OVER_AN_AXIS = frozenset({
    "cumsum", "log_softmax", "logsumexp", "norm", "normalize", "prod", "softmax", "sort", "sum", "topk",
})  # fmt: skip
_INTEGER = re.compile(r"-?\d+")
_AXES = frozenset({"axis", "dim"})
_ARRAYS = ("ndarray", "Tensor", "Series", "DataFrame")
_SQUARE = re.compile(r"\((\d+), (\d+)\)")
_LEADING = re.compile(r"\((\d+),")


class Beside(NamedTuple):
    """Where a row's result comes to hang on the rows beside it: by a statistic, the longest, or each with each."""

    statistic: Location | None = None
    longest: Location | None = None
    crossed: Location | None = None


def is_crossed(expected: Event, actual: Event, sizes: tuple[int, int]) -> bool:
    """Tell whether a statement gives an array of as many rows as columns, both as many as the batch has rows.

    Parameters
    ----------
    expected, actual : Event
        The statement in either run.
    sizes : (int, int)
        Size of the batches in either run: the smaller one tells, since there may be fewer rows than the larger.
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
    """Return the first statement that reduces, over its first axis, an array as long as the batch; None without one.

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
        is_array = _gives_array(actual)
        if any(_mentions(call, known) and _is_over_rows(call, gives_array=is_array) for call in calls[place]):
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
    """Return the first statement that takes a statistic over rows and goes on with what it gives; None without one."""
    return find_statement(events, lambda source, event: _takes_statistic(source, gives_array=_gives_array(event)))


def find_longest(events: Iterable[Event]) -> Event | None:
    """Return the first statement that takes the largest of several whole numbers, as what pads rows does; or None."""
    return find_statement(events, lambda source, event: _gives_integer(event) and _takes_largest(source))


def _gives_integer(event: Event) -> bool:
    return any(_INTEGER.fullmatch(value.text) for value in event.changes.values())


def _takes_largest(source: str) -> bool:
    """Tell whether a statement calls Python's own `max` with one argument, of which it takes the largest."""
    return any(
        name == "max" and isinstance(call.func, ast.Name) and len(call.args) == 1 for call, name in calls_in(source)
    )


def _gives_array(event: Event) -> bool:
    return any(value.text.startswith(_ARRAYS) for value in event.changes.values())


def _takes_statistic(source: str, *, gives_array: bool) -> bool:
    """Tell whether a statement has a call that takes a statistic over the first axis, or over all of an array.

    A statistic of all elements counts only where the statement gives an array: others are losses and metrics.
    """
    return any(
        name in _OF_ALL_ROWS or (name in _STATISTICS and _is_over_rows(call, gives_array=gives_array))
        for call, name in calls_in(source)
        # Python's own are of lists, and no statistic of rows.
        if not (isinstance(call.func, ast.Name) and name in ("max", "min"))
    )


def _is_over_rows(call: ast.Call, *, gives_array: bool) -> bool:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    # A function takes the array before the axis; a method of the array does not.
    is_function = owner is None or (isinstance(owner, ast.Name) and owner.id in MODULES)
    given = [keyword.value for keyword in call.keywords if keyword.arg in _AXES]
    given += call.args[1:2] if is_function else call.args[:1]
    if not given:
        return gives_array
    return isinstance(given[0], ast.Constant) and given[0].value in (0, "index")
