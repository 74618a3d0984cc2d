"""The statements that change the values of a test's arguments, such as fixtures that outlive it, by a run's trace."""

from __future__ import annotations

import ast

from pytest_repro.diagnosis.places import location_at
from pytest_repro.diagnosis.trace_reading import Event, Trace, Value, iterate_frames
from pytest_repro.model import Location
from pytest_repro.tracing.statements import read_source


def find_argument_changes(trace: Trace) -> dict[str, Location]:
    """Return the innermost line that first changes each argument of the outermost function which is changed.

    A line that only binds the name to another object changes nothing that the next run finds.
    """
    events = trace.events.get("", [])
    start = next((n for n, event in enumerate(events) if event.is_call and event.frame.parent is None), None)
    if start is None:
        return {}
    call, found = events[start], {}
    waiting = dict(call.changes)
    for number, later in enumerate(events[start + 1 :], start + 1):
        if later.frame is not call.frame or later.is_call:
            continue
        for name in [name for name in waiting if _changes_part(name, waiting[name], later)]:
            found[name] = _locate(later)
            del waiting[name]
        for name in waiting.keys() & later.changes.keys():
            before = waiting[name].digest
            if later.changes[name].digest == before:
                continue
            del waiting[name]
            if not _binds(later, name):
                found[name] = _locate(_find_inner(events[start:number], later, before) or later)
    return found


def _changes_part(name: str, before: Value, event: Event) -> bool:
    """Return whether a statement changes a part of a variable, such as ``model.steps``, which it had before."""
    for changed, value in event.changes.items():
        if changed.startswith((f"{name}.", f"{name}[")):
            known = before.parts.get(changed[len(name) :].removeprefix("."))
            if known is None or known[0] != value.digest:
                return True
    return False


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
