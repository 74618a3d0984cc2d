"""Parse the axes that a marker or the command line requests."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pytest_repro.axes.spec import (
    BUILT_IN_NAMES,
    ENVIRONMENT_AXES,
    WITHOUT_DEFAULTS,
    Axis,
    AxisRequest,
    canonical,
    check_json,
)
from pytest_repro.axes.table import find_axis, is_built_in
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON, Tolerance, TolerancePolicy

#: Between two axes. What begins with a comparison goes on with a requirement, as in ``python=numpy>=2,<2.3``.
_COMMA = re.compile(r",(?!\s*[<>=!~])")
#: ``host:prod:box`` is read as ``host=prod:box``.
_COLON = re.compile(rf"^({'|'.join(ENVIRONMENT_AXES)}):")


def parse_across(across: object) -> tuple[AxisRequest, ...]:
    """Parse the marker's ``across=``.

    Parameters
    ----------
    across : None, list or tuple of str, or mapping of str -> list | Axis | int | None
        Names take the default values. ``{"process": 3}`` requests 3 fresh processes. Any name other than a built-in
        axis is an argument of the test. ``"all"`` in a list means every built-in axis that the machine can vary.

    Returns
    -------
    tuple of AxisRequest
        In the order given.

    Raises
    ------
    UsageError
        For an unknown name without values, a name twice, values that are empty, equal or of a wrong type.
    """
    if across is None:
        return ()
    if isinstance(across, str):
        # As on the command line, but each name must be an axis or an argument of the test.
        return tuple(replace(request, from_option=False) for request in parse_across_option(across))
    if isinstance(across, Mapping):
        return tuple(_parse_item(name, value) for name, value in across.items())
    if not isinstance(across, (list, tuple)):
        raise UsageError(f"across= must be a list of axes or a dict of axis -> values, got {type(across).__name__}")
    for name in across:
        if not isinstance(name, str):
            raise UsageError(
                f"across= lists names of axes, got {name!r}; values go into a dict: across={{'threads': [1, 2]}}"
            )
    _reject_duplicates(across)
    return _expand_all([_bare_request(name) for name in across])


@cache
def parse_across_option(text: str) -> tuple[AxisRequest, ...]:
    """Parse the command line's ``--repro-across``: ``hash_seed,threads=1:2,isa``, or ``all``.

    Any name other than a built-in axis must have values. It is an argument of those tests that have it
    (:func:`check_arguments`).

    Raises
    ------
    UsageError
        As :func:`parse_across`.
    """
    items = [_COLON.sub(r"\1=", item.strip()) for item in _COMMA.split(text)]
    if not all(items):
        raise UsageError(
            f"across={text!r}: an axis is missing between two commas; write for example hash_seed,threads=1:2"
        )
    names = [item.partition("=")[0] for item in items]
    _reject_duplicates(names)
    requests = []
    for name, item in zip(names, items, strict=True):
        if "=" not in item:
            requests.append(_bare_request(name))
            continue
        values = _parse_option_values(name, item.partition("=")[2])
        requests.append(_parse_item(name, values))
    return tuple(replace(request, from_option=True) for request in _expand_all(requests))


def check_arguments(requests: Iterable[AxisRequest], arguments: Collection[str], where: str) -> tuple[AxisRequest, ...]:
    """Return the requests that apply to a test, and reject a marker's argument that the test does not have.

    The command line applies to all tests, so its arguments are omitted for a test that does not have them. UsageError
    names the test by its node id, `where`.
    """
    kept = []
    for request in requests:
        if request.kind == "built_in" or request.name in arguments:
            kept.append(request)
        elif not request.from_option:
            hint = (
                f"did you mean the axis {request.suggestion!r}?"
                if request.suggestion
                else "add it to the test's arguments"
            )
            raise UsageError(
                f"{where}: across= names {request.name!r}, no built-in axis and no argument of the test; {hint}"
            )
    return tuple(kept)


def _bare_request(name: str) -> AxisRequest:
    if name in ENVIRONMENT_AXES:
        raise UsageError(f"the axis {name!r} needs its values: {name}=FIRST:SECOND, or across={{{name!r}: [...]}}")
    if name == "all" or is_built_in(name):
        return AxisRequest(name, "built_in")
    close = _find_close(name)
    hint = f"did you mean {close!r}?" if close else f"built-in axes are {', '.join(BUILT_IN_NAMES)}."
    raise UsageError(
        f"unknown axis {name!r}: {hint} An argument of the test needs its values: across={{{name!r}: [..., ...]}}"
    )


def _expand_all(requests: list[AxisRequest]) -> tuple[AxisRequest, ...]:
    """Replace ``all`` by every built-in axis that is not named as well."""
    named = {request.name for request in requests}
    expanded: list[AxisRequest] = []
    for request in requests:
        if request.name == "all":
            rest = (name for name in BUILT_IN_NAMES if name not in named and name not in WITHOUT_DEFAULTS)
            expanded.extend(AxisRequest(name, "built_in", is_optional=True) for name in rest)
        else:
            expanded.append(request)
    return tuple(expanded)


def _parse_item(name: Any, given: Any) -> AxisRequest:
    if not isinstance(name, str) or not name:
        raise UsageError(f"across= maps the name of an axis to its values, got the name {name!r}")
    if name == "all":
        raise UsageError("across= takes 'all' in a list, without values: across=['all']")
    tolerance: Tolerance | TolerancePolicy | None = None
    if isinstance(given, Axis):
        given, tolerance = given.values, given.tolerance
    kind = "built_in" if is_built_in(name) else "argument"
    values = _read_values(name, given)
    if values is None and kind == "argument":
        raise UsageError(f"across={{{name!r}: None}}: an argument of the test needs its values, as in [..., ...]")
    suggestion = "" if kind == "built_in" else _find_close(name)
    return AxisRequest(name, kind, values, tolerance, suggestion=suggestion)  # type: ignore[arg-type]


def _read_values(name: str, given: Any) -> tuple[JSON, ...] | None:
    """Return the checked values of one axis, the baseline's first."""
    where = f"across={{{name!r}: ...}}"
    if given is None:
        return None
    if isinstance(given, int):
        return _count_processes(name, given)
    if not isinstance(given, (list, tuple)):
        raise UsageError(f"{where}: give a list of values, as in [..., ...], got {type(given).__name__} {given!r}")
    if not given:
        raise UsageError(f"{where}: the list of values is empty, so nothing would be varied")
    values = tuple(check_json(value, where) for value in given)
    if is_built_in(name):
        axis = find_axis(name)
        for value in values:
            if value is not None:
                axis.validate(value)
        if axis.begins_here and None not in values:
            values = (None, *values)
    if len(values) == 1:
        if not is_built_in(name) or values[0] is None or name == "process":
            raise UsageError(f"{where}: the one value {values[0]!r} has nothing to differ from; give two or more")
        values = (None, *values)  # the unchanged axis, compared with the value
    texts = [canonical(value) for value in values]
    for position, text in enumerate(texts):
        if text in texts[:position]:
            raise UsageError(
                f"{where}: {values[position]!r} is given twice; runs= repeats a test in the same condition"
            )
    return values


def _count_processes(name: str, count: int) -> tuple[JSON, ...]:
    if name != "process":
        raise UsageError(f"across={{{name!r}: {count}}}: give the values to compare as a list, as in [..., {count}]")
    if isinstance(count, bool) or count < 2:
        raise UsageError(
            f"across={{'process': {count}}}: give 2 or more fresh processes; one has nothing to differ from"
        )
    return tuple(range(count))


def _parse_option_values(name: str, text: str) -> list[JSON] | int:
    if not text:
        raise UsageError(
            f"--repro-across: no value after {name}=; write {name}=1:2, or {name} alone for the default values"
        )
    parts = find_axis(name).split(text) if is_built_in(name) else text.split(":")
    if not all(parts):
        raise UsageError(f"--repro-across: a value is missing in {name}={text}; values are separated by single colons")
    if name == "process" and len(parts) == 1 and text.isdigit():
        return int(text)
    return (
        [find_axis(name).parse(part) for part in parts]
        if is_built_in(name)
        else [_read_literal(part) for part in parts]
    )


def _read_literal(text: str) -> JSON:
    """Parse a number, true, false or null as JSON does, and anything else as a string."""
    spelt = {"True": True, "False": False, "None": None}
    if text in spelt:
        return spelt[text]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float)) or value is None else text


def _reject_duplicates(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError(f"across names {name!r} twice; name it once, with all its values")
        seen.add(name)


def _find_close(name: str) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), BUILT_IN_NAMES, n=1, cutoff=0.7)
    return close[0] if close else ""
