"""Shared by the tests of traces and of names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_repro.diagnosis.observing import Finding, Trial
from pytest_repro.diagnosis.trace_reading import Code, Event, Frame, Value
from pytest_repro.model import Artifacts
from pytest_repro.sources.base import Observation
from pytest_repro.sources.registry import find_source


def events_of(folder: Path, *statements: str, gives: str = "ndarray float64 (4, 2): 1, 2") -> list[Event]:
    """Make a trace of a function with these statements, each of which sets a value with this description."""
    file = folder / "code.py"
    file.write_text("def f():\n" + "".join(f"    {statement}\n" for statement in statements))
    frame = Frame(1, None, 0, 0, Code(str(file), "f", 1), 0, None, "")
    value = Value("array", "digest", gives, {})
    return [Event(frame, n, n + 1, None, {"x": value}) for n in range(1, len(statements) + 1)]


def sighting(kind: str, library: str = "", *, line: int = 3, detail: str = "", file: str = "/a.py") -> dict[str, Any]:
    """Return a sighting as an answer holds it."""
    found = {"kind": kind, "detail": detail or kind, "file": file, "line": line, "function": "f"}
    return {**found, "count": 1, "library": library}


def observed(*sightings: dict[str, Any]) -> Observation:
    """Return a run with these sightings."""
    return Observation(Artifacts(), {"sightings": list(sightings)})


def finding_of(*pins: str, one: Observation | None = None, other: Observation | None = None) -> Finding:
    """Return a finding: with these pins 4 runs were identical, and 3 of 4 without them differed."""
    one = one or observed()
    return Finding(Trial(4, 3, 4), (one, other or one), tuple(map(find_source, pins)))
