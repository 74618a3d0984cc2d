"""Shared by the tests of traces and of names."""

from __future__ import annotations

import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_repro.diagnosis.first_divergence import TracePair
from pytest_repro.diagnosis.observing import Finding, Trial
from pytest_repro.diagnosis.trace_reading import Code, Event, Frame, Value
from pytest_repro.model import Artifacts, FirstDivergence, PlaceFinding
from pytest_repro.sources.base import Observation
from pytest_repro.sources.registry import find_source
from pytest_repro.tracing.statements import read_statements
from pytest_repro.tracing.watching import watched

#: What the two runs of each test get as `v`: all that differs between them.
VALUES = (1, 2)


class Runs:
    """Runs `run(v)` of a module twice under watch, and compares the traces."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = patch
        self.traces = (folder / "1.jsonl", folder / "2.jsonl")

    def compare(self, source: str, values: tuple[Any, Any] = VALUES, **options: Any) -> PlaceFinding:
        path = self.folder / "users.py"
        path.write_text(source, encoding="utf-8")
        read_statements.cache_clear()  # the tests write one file again and again
        module = ModuleType("users")
        module.__file__ = str(path)
        self.patch.setitem(sys.modules, "users", module)
        exec(compile(source, str(path), "exec"), module.__dict__)
        for value, trace in zip(values, self.traces, strict=True):
            module.__dict__["source"] = lambda value=value: value
            with suppress(Exception) if options.get("may_raise") else nullcontext(), watched(trace):
                module.__dict__["run"](**options.get("arguments", dict)())
        ignore = options.get("ignore", ())
        return TracePair(*self.traces, root=self.folder).find_first(ignore=ignore, compared=options.get("compared"))

    def first(self, source: str, values: tuple[Any, Any] = VALUES, **options: Any) -> FirstDivergence:
        found = self.compare(source, values, **options).first
        assert found is not None
        return found


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
