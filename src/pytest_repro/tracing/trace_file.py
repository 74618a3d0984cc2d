"""Trace of a watched run: a file of JSON lines, written during the run and validated when it is read.

Each line is an array, whose first element is its kind:

- ``["v", 1]``: format.
- ``["c", code, file, function, first line]``: a watched code object.
- ``["r", code, line, reads, is_branch]``: a statement, once.
- ``["f", frame, parent, parent's n, ordinal, code, line in the parent, step, changes, thread]``: a call.
- ``["s", frame, n, line, step, changes]``: the n-th statement of a frame, if it changed something.
- ``["o", frame, n, line, kind, module, op, inputs, outputs]``: an operation of torch made by a statement.
- ``["p", index]``: the end of a training step (``repro.step``).
- ``["e", notes]``: the end. Without it the trace was cut off.

A change is ``[name, kind, digest, text, parts]``; parts map a part's name to ``[digest, text]``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_repro.errors import StoreError
from pytest_repro.model.reading import opened

FORMAT = 1
#: Limits of reading: a trace is bounded when it is written, but a file may have been changed since.
MAX_TRACE_BYTES = 512 * 2**20
MAX_LINE_BYTES = 2**20
MAX_LINES = 2_000_000

_SHAPES: dict[str, tuple[type | tuple[type, ...], ...]] = {
    "v": (int,),
    "c": (int, str, str, int),
    "r": (int, int, list, bool),
    "f": (int, (int, type(None)), int, int, int, int, (int, type(None)), list, str),
    "s": (int, int, int, (int, type(None)), list),
    "o": (int, int, int, str, str, str, str, str),
    "p": (int,),
    "e": (list,),
}


class TraceWriter:
    """Writer of a trace, not thread-safe by itself."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ascii", buffering=2**16)
        self._encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
        self.events: int = 0
        self.write("v", FORMAT)

    def forget(self) -> None:
        """Discard what this process, a fork, has not written yet and all that it will write."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._file.fileno())
        os.close(null)

    def write(self, *event: Any) -> None:
        """Write one event."""
        self._file.write(self._encode(event))
        self._file.write("\n")
        self.events += 1

    def close(self, notes: list[str]) -> None:
        """Write the end."""
        self.write("e", notes)
        self._file.close()


class TraceError(ValueError):
    """A trace that cannot be read."""


def read_trace(path: Path) -> Iterator[list[Any]]:
    """Yield a trace's events after checking their structure.

    Raises
    ------
    TraceError
        If the file is missing, too large or not a trace.
    """
    try:
        with opened(path, max_bytes=MAX_TRACE_BYTES) as file:
            yield from _read_lines(file.iterate_lines(MAX_LINE_BYTES + 1), path.name)
    except OSError as error:
        raise TraceError(f"the trace {path.name} cannot be read: {error.strerror or error}") from None
    except StoreError as error:
        raise TraceError(f"the trace {path.name}: {error}") from None


def _read_lines(lines: Iterator[bytes], name: str) -> Iterator[list[Any]]:
    for number in range(1, MAX_LINES + 1):
        line = next(lines, b"")
        if not line:
            if number == 1:
                raise TraceError(f"the trace {name} is empty")
            return
        if not line.endswith(b"\n"):
            if len(line) > MAX_LINE_BYTES:
                raise TraceError(f"line {number} of the trace {name} is longer than {MAX_LINE_BYTES >> 20} MiB")
            return  # cut off where the process ended
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TraceError(f"line {number} of the trace {name} is not JSON: {type(error).__name__}") from None
        if not _is_event(event) or (number == 1) != (event[0] == "v") or (number == 1 and event[1] != FORMAT):
            raise TraceError(f"line {number} of the trace {name} is not an event of format {FORMAT}")
        yield event
    raise TraceError(f"the trace {name} has more than {MAX_LINES} lines")


def _is_event(event: Any) -> bool:
    if type(event) is not list or not event or type(event[0]) is not str:
        return False
    shape = _SHAPES.get(event[0])
    if shape is None or len(event) != len(shape) + 1:
        return False
    if not all(_is_of(value, kind) for value, kind in zip(event[1:], shape, strict=True)):
        return False
    changes = event[8] if event[0] == "f" else event[5] if event[0] == "s" else ()
    if event[0] in "re" and not all(type(text) is str for text in event[3 if event[0] == "r" else 1]):
        return False
    return all(map(_is_change, changes))


def _is_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    # By exact type: True is an int to isinstance.
    return type(value) in kind if isinstance(kind, tuple) else type(value) is kind


def _is_change(change: Any) -> bool:
    if type(change) is not list or len(change) != 5 or not all(type(text) is str for text in change[:4]):
        return False
    parts = change[4]
    return type(parts) is dict and all(
        type(part) is list and len(part) == 2 and all(type(text) is str for text in part) for part in parts.values()
    )
