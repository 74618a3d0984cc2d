"""Loops that a resumed run starts anew: after the stop they take the values that they took at the beginning."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_reading import Event
from pytest_repro.tracing.statements import read_source

#: Values that must be the same as at the beginning.
_LEAST = 2

_Taken = tuple[str, ...]
_Place = tuple[str, str, int]


def find_restarted_loop(thread: AlignedThread) -> Event | None:
    """Return where a loop of the second run begins again, and the same loop of the first run continues.

    Notes
    -----
    Both runs take equally many values, and the same ones up to some place. From there on the second run takes those of
    the beginning, and the first run does not.
    """
    expected = _collect(pair.expected for pair in thread.pairs)
    for place, events in _collect(pair.actual for pair in thread.pairs).items():
        before, after = ([taken for taken, _ in side] for side in (expected.get(place, []), events))
        if len(before) != len(after) or before == after:
            continue
        first = next(i for i, (one, other) in enumerate(zip(before, after, strict=True)) if one != other)
        count = min(first, len(after) - first)
        if count >= _LEAST and after[first : first + count] == before[:count]:
            return events[first][1]
    return None


def _collect(events: Iterable[Event | None]) -> dict[_Place, list[tuple[_Taken, Event]]]:
    """Return the values that each loop takes, in order, with the event of each."""
    found: dict[_Place, list[tuple[_Taken, Event]]] = {}
    targets: dict[_Place, list[str]] = {}
    for event in events:
        if event is None or event.is_call:
            continue
        place = event.frame.code.file, event.frame.code.function, event.line
        if place not in targets:
            targets[place] = _targets_of(read_source(event.frame.code.file, event.line))
        taken = tuple(event.changes[name].digest for name in targets[place] if name in event.changes)
        if taken:
            found.setdefault(place, []).append((taken, event))
    return found


def _targets_of(source: str) -> list[str]:
    """Return the variables of a loop's head, and nothing for any other statement."""
    if not source.lstrip().startswith("for "):
        return []
    try:
        loop = ast.parse(f"{source.strip().rstrip(':')}: pass").body[0]
    except SyntaxError:
        return []
    return [node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)] if isinstance(loop, ast.For) else []
