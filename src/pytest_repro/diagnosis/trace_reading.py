"""Traces in memory: frames with their callers, statements in the order in which they ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pytest_repro.tracing.trace_file import TraceError, read_trace
from pytest_repro.tracing.watch_job import imports_of


class Code(NamedTuple):
    """A watched code object."""

    file: str
    function: str
    line: int


@dataclass(slots=True, eq=False)
class Frame:
    """One call."""

    number: int
    parent: Frame | None
    parent_n: int
    ordinal: int
    code: Code
    call_line: int
    step: int | None
    thread: str
    latest: dict[str, Value] = field(default_factory=dict)

    @property
    def root(self) -> Frame:
        """The outermost frame."""
        frame = self
        while frame.parent is not None:
            frame = frame.parent
        return frame


class Value(NamedTuple):
    """The value of a name."""

    kind: str
    digest: str
    text: str
    parts: dict[str, tuple[str, str]]


class Operation(NamedTuple):
    """An operation or a module of torch that a statement ran."""

    kind: str
    module: str
    op: str
    inputs: str
    outputs: str


@dataclass(slots=True, eq=False)
class Event:
    """A call (n is 0), or a statement that changed something."""

    frame: Frame
    n: int
    line: int
    step: int | None
    changes: dict[str, Value]
    operations: list[Operation] = field(default_factory=list)

    @property
    def is_call(self) -> bool:
        """Whether it is the call itself."""
        return self.n == 0

    @property
    def token(self) -> tuple[str, str, int, bool]:
        """The key by which two events are the same statement."""
        code = self.frame.code
        return (code.file, code.function, self.line, self.is_call)


@dataclass(slots=True, eq=False)
class Trace:
    """All events of a run, by thread. The main thread's name is empty."""

    events: dict[str, list[Event]] = field(default_factory=dict)
    #: (file, line) -> names that the statement mentions, and whether it is a branch.
    statements: dict[tuple[str, int], tuple[list[str], bool]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_complete: bool = False

    def reads(self, event: Event) -> list[str]:
        """Return the names that a statement mentions."""
        return self.statements.get((event.frame.code.file, event.line), ([], False))[0]


def load_trace(path: Path) -> Trace:
    """Read a trace, with that of the imports before it if there is one.

    Raises
    ------
    TraceError
        If it is not one, or refers to something that it does not hold.
    """
    loader = _Loader()
    earlier = imports_of(path)
    for each in [earlier, path] if earlier.exists() else [path]:
        loader.begin()
        for event in read_trace(each):
            try:
                loader.take(event)
            except (KeyError, IndexError):
                raise TraceError(f"the trace {each.name} refers to something that it does not hold") from None
    return loader.trace


class _Loader:
    def __init__(self) -> None:
        self.trace = Trace()
        self._codes: dict[int, Code] = {}
        self._frames: dict[int, Frame] = {}
        self._waiting: dict[tuple[int, int, int], list[Operation]] = {}
        #: Events in loops since the last step whose end the user's code reported.
        self._in_step: list[Event] = []
        #: Added to the numbers of frames: each file counts its own from 0.
        self._offset = self._next = 0

    def begin(self) -> None:
        """Begin another file of the same run."""
        self._codes, self._waiting, self._offset = {}, {}, self._next
        self.trace.is_complete = False

    def take(self, event: list[Any]) -> None:
        kind, values = event[0], event[1:]
        if kind == "c":
            number, file, function, line = values
            self._codes[number] = Code(file, function, line)
        elif kind == "r":
            number, line, reads, is_branch = values
            self.trace.statements[self._codes[number].file, line] = (reads, is_branch)
        elif kind == "f":
            self._take_call(*values)
        elif kind == "s":
            self._take_statement(*values)
        elif kind == "o":
            number, n, line, *operation = values
            number += self._offset
            self._waiting.setdefault((number, n, line), []).append(Operation(*operation))
        elif kind == "p":
            # The user's own count precedes that of the loop.
            for in_step in self._in_step:
                in_step.step = values[0]
            self._in_step.clear()
        elif kind == "e":
            self.trace.notes += values[0]
            self.trace.is_complete = True

    def _take_call(
        self,
        number: int,
        parent: int | None,
        parent_n: int,
        ordinal: int,
        code: int,
        line: int,
        step: int | None,
        changes: list[Any],
        thread: str,
    ) -> None:
        number += self._offset
        self._next = max(self._next, number + 1)
        above = self._frames[parent + self._offset] if parent is not None else None
        frame = Frame(number, above, parent_n, ordinal, self._codes[code], line, step, thread)
        self._frames[number] = frame
        self._append(Event(frame, 0, line or frame.code.line, step, _read_changes(changes)))

    def _take_statement(self, number: int, n: int, line: int, step: int | None, changes: list[Any]) -> None:
        number += self._offset
        event = Event(self._frames[number], n, line, step, _read_changes(changes))
        event.operations = self._waiting.pop((number, n, line), [])
        self._append(event)

    def _append(self, event: Event) -> None:
        if event.step is not None:
            self._in_step.append(event)
        self.trace.events.setdefault(event.frame.thread, []).append(event)


def _read_changes(changes: list[Any]) -> dict[str, Value]:
    return {
        name: Value(kind, digest, text, {part: (d, t) for part, (d, t) in parts.items()})
        for name, kind, digest, text, parts in changes
    }


def iterate_frames(frame: Frame) -> Iterator[Frame]:
    """Yield a frame and those that led to it."""
    at: Frame | None = frame
    while at is not None:
        yield at
        at = at.parent
