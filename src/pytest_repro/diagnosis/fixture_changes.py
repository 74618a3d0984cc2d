"""The statement that changes the value of a fixture which outlives the test, by the trace of a run."""

from __future__ import annotations

import ast

from pytest_repro.diagnosis.places import location_at
from pytest_repro.diagnosis.trace_reading import Event, Trace, iterate_frames
from pytest_repro.model import Location
from pytest_repro.tracing.statements import read_source


def find_fixture_change(trace: Trace, fixture: str) -> Location | None:
    """Return the innermost line that first changes the argument `fixture` of the outermost function.

    A line that only binds the name to another object changes nothing that the next run finds.
    """
    events = trace.events.get("", [])
    for position, event in enumerate(events):
        if not event.is_call or event.frame.parent is not None or fixture not in event.changes:
            continue
        before = event.changes[fixture].digest
        for number, later in enumerate(events[position + 1 :], position + 1):
            if later.frame is not event.frame or later.is_call or fixture not in later.changes:
                continue
            if later.changes[fixture].digest != before and not _binds(later, fixture):
                return _locate(_find_inner(events[position:number], later, before) or later)
            break
    return None


def _find_inner(events: list[Event], statement: Event, before: str) -> Event | None:
    """Return the first statement below another that changes the same value."""
    latest: dict[tuple[int, str], str] = {}
    for event in events:
        below = [frame for frame in iterate_frames(event.frame) if frame.parent is statement.frame]
        if not below or below[0].parent_n != statement.n:
            continue
        for name, value in event.changes.items():
            known = latest.get((event.frame.number, name))
            if known == before != value.digest and not _binds(event, name):
                return event
            latest[event.frame.number, name] = value.digest
    return None


def _binds(event: Event, name: str) -> bool:
    """Return whether a statement assigns to the bare name, which leaves the object as it is."""
    try:
        (statement,) = ast.parse(read_source(event.frame.code.file, event.line).strip()).body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _locate(event: Event) -> Location:
    return location_at(event.frame.code.file, event.line, event.frame.code.function.rpartition(".")[2])
