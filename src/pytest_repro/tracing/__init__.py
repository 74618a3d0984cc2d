"""Watch the user's own code during a run, and leave a trace of what each statement changed."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytest_repro.tracing import parts
from pytest_repro.tracing.trace_file import TraceError, TraceWriter, read_trace
from pytest_repro.tracing.tracing import TraceFunction, monitored, why_not
from pytest_repro.tracing.user_code import is_user_file
from pytest_repro.tracing.watcher import Watcher

__all__ = ["TraceError", "read_trace", "watched"]


class watched:  # noqa: N801 - used as a function is
    """Watch what runs within the block, in this thread and in those that it starts.

    Parameters
    ----------
    path : path
        File for the trace (:mod:`~pytest_repro.tracing.trace_file`); written over.
    budget_s : float
        Time spent on watching [s] after which it stops, and says so.
    max_events : int
        The same for the trace's events.

    Notes
    -----
    Draws from no generator, calls no method of the user's objects and keeps no reference to any. Where a debugger
    holds the trace function nothing is watched, and the trace says why. Coverage is set aside for the block.

    A class, because the trace function must be set and put back at one depth: coverage counts calls and returns. It
    may still miss lines of the very frame that the block stands in, after it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        budget_s: float = 30.0,
        max_events: int = 200_000,
    ) -> None:
        self._path = Path(path)
        self._budget_s = budget_s
        self._max_events = max_events
        self._watcher: Watcher | None = None
        self._function: TraceFunction | None = None
        self._before: Any = None
        self._before_threads: Any = None
        self._monitoring = ExitStack()

    def __enter__(self) -> None:
        if not hasattr(sys, "monitoring") and (reason := why_not(sys.gettrace())):
            TraceWriter(self._path).close([f"nothing was watched: {reason}"])
            return
        self._watcher = watcher = Watcher(self._path, budget_s=self._budget_s, max_events=self._max_events)
        parts.tell_user_files(is_user_file)
        if hasattr(sys, "monitoring"):
            self._monitoring.enter_context(monitored(watcher))
            return
        self._function = TraceFunction(watcher)
        self._before, self._before_threads = sys.gettrace(), threading.gettrace()
        threading.settrace(self._function)
        sys.settrace(self._function)

    def __exit__(self, *error: object) -> None:
        if self._watcher is None:
            return
        if self._function is not None:
            if sys.gettrace() is self._function:
                sys.settrace(self._before)
            else:
                self._watcher.note("the code under test replaced the trace function")
            if threading.gettrace() is self._function:
                threading.settrace(self._before_threads)
        self._monitoring.close()
        self._watcher.close()
        parts.tell_user_files(None)
