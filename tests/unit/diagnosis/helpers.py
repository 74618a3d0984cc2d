"""What the tests of traces share."""

from __future__ import annotations

from pathlib import Path

from pytest_repro.diagnosis.trace_reading import Code, Event, Frame, Value


def events_of(folder: Path, *statements: str, gives: str = "ndarray float64 (4, 2): 1, 2") -> list[Event]:
    """Make a trace of a function with these statements, each of which sets a value that is told so."""
    file = folder / "code.py"
    file.write_text("def f():\n" + "".join(f"    {statement}\n" for statement in statements))
    frame = Frame(1, None, 0, 0, Code(str(file), "f", 1), 0, None, "")
    value = Value("array", "digest", gives, {})
    return [Event(frame, n, n + 1, None, {"x": value}) for n in range(1, len(statements) + 1)]
