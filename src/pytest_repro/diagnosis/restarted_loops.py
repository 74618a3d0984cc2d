"""Loops that a resumed run starts anew: after the stop they take the values that they took at the beginning."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_reading import Event
from pytest_repro.tracing.statements import read_source

#: Values that must be the same as at the beginning.
_LEAST = 2
_BY_CHANCE = 3

_Taken = tuple[str, ...]
_Place = tuple[str, str, int]


def find_restarted_loop(thread: AlignedThread) -> Event | None:
    """Return where a loop of the second run begins again, and the same loop of the first run continues.

    Notes
    -----
    Both runs take the same values up to some place. From there on the second run takes those of the beginning, and the
    first run does not. A value that is the same as the one before it is not in a trace.
    """
    expected = _collect(pair.expected for pair in thread.pairs)
    for place, events in _collect(pair.actual for pair in thread.pairs).items():
        before, after = ([taken for taken, _ in side] for side in (expected.get(place, []), events))
        first = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
        # The first values after the stop may be the right ones by chance.
        for begin in range(first, max(0, first - _BY_CHANCE) - 1, -1) if first is not None else ():
            count = min(begin, len(after) - begin)
            if count >= _LEAST and after[begin : begin + count] == before[:count]:
                return events[begin][1]
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
        loop = ast.parse(f"{source.strip()}\n    pass").body[0]
    except SyntaxError:
        return []
    return (
        [node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)] if isinstance(loop, ast.For) else []
    )
