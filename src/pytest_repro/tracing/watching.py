"""Watching of a block: `sys.monitoring`, or `sys.settrace` before Python 3.12, reports its events to a watcher."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pytest_repro.capturing.live import set_user_files
from pytest_repro.tracing.trace_file import TraceWriter
from pytest_repro.tracing.user_code import is_user_code, is_user_file
from pytest_repro.tracing.watcher import Watcher, is_raised, is_yield

#: Coverage misses a watched block, which repeats a run that it has measured.
_COVERAGE = "coverage"


class watched:  # noqa: N801 - used as a function is
    """Watch what runs within the block, in this thread and in those that it starts.

    Parameters
    ----------
    path : path
        File for the trace (:mod:`~pytest_repro.tracing.trace_file`); overwritten.
    budget_s : float
        Time spent on watching [s] after which it stops. The trace notes it.
    max_events : int
        The same for the trace's events.

    Notes
    -----
    Draws from no generator, calls no method of the watched code's objects and keeps no reference to any. While a
    debugger holds the trace function nothing is watched, and the trace gives the reason. Coverage is suspended for
    the block.

    A class, because the trace function must be set and restored at one depth: coverage counts calls and returns. It
    may still miss lines of the very frame that contains the block, after it.
    """

    def __init__(self, path: str | os.PathLike[str], *, budget_s: float = 30.0, max_events: int = 200_000) -> None:
        self._path, self._budget_s, self._max_events = Path(path), budget_s, max_events
        self._watcher: Watcher | None = None
        self._function: _TraceFunction | None = None
        self._before: Any = None
        self._before_threads: Any = None
        self._monitoring = ExitStack()

    def __enter__(self) -> None:
        if not hasattr(sys, "monitoring") and (reason := _why_not(sys.gettrace())):
            TraceWriter(self._path).close([f"nothing was watched: {reason}"])
            return
        self._watcher = watcher = Watcher(self._path, budget_s=self._budget_s, max_events=self._max_events)
        set_user_files(is_user_file)
        if hasattr(sys, "monitoring"):
            self._monitoring.enter_context(_monitored(watcher))
            return
        self._function = _TraceFunction(watcher)
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
        set_user_files(None)


def _why_not(function: object) -> str:
    """Explain why the current trace function prevents watching, if it does."""
    if function is None:
        return ""
    owner = type(getattr(function, "__self__", function))
    if owner.__module__.partition(".")[0] == _COVERAGE:
        return ""
    return f"a debugger or another tool ({owner.__module__}.{owner.__qualname__}) holds the trace function"


class _TraceFunction:
    """Trace function that reports to a watcher."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        # One object: every access to a method creates another bound method.
        self._on_event = self._take_event

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._on_event if self._watcher.enter(frame) else None

    def _take_event(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            self._watcher.line(frame, frame.f_lineno)
        elif event == "return":
            yields = is_yield(frame)
            self._watcher.leave(frame, arg, is_yield=yields, is_raised=not yields and arg is None and is_raised(frame))
        return self._on_event


@contextmanager
def _monitored(watcher: Watcher) -> Iterator[None]:
    """Have `sys.monitoring` report to the watcher, in addition to the tools of a debugger and coverage."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = next((number for number in (3, 4, 5, 2) if monitoring.get_tool(number) is None), None)
    if tool is None:
        watcher.note("every tool id of sys.monitoring is in use")
        yield
        return
    events = monitoring.events
    begun: set[CodeType] = set()

    def on_start(code: CodeType, offset: int) -> Any:
        frame = sys._getframe(1)
        if not watcher.enter(frame):
            # For good only if the code is a library's: of watched code another call may be sampled.
            return None if is_user_code(code) else monitoring.DISABLE
        if code not in begun:
            begun.add(code)
            monitoring.set_local_events(tool, code, events.LINE)
        return None

    def on_line(code: CodeType, line: int) -> None:
        watcher.line(sys._getframe(1), line)

    def on_return(code: CodeType, offset: int, value: object) -> Any:
        if code not in begun:
            return monitoring.DISABLE
        watcher.leave(sys._getframe(1), value, is_yield=False)
        return None

    def on_yield(code: CodeType, offset: int, value: object) -> Any:
        if code not in begun:
            return monitoring.DISABLE
        watcher.leave(sys._getframe(1), value, is_yield=True)
        return None

    def on_unwind(code: CodeType, offset: int, error: BaseException) -> None:
        if code in begun:
            watcher.leave(sys._getframe(1), None, is_yield=False, is_raised=True)

    callbacks = {
        events.PY_START: on_start,
        events.PY_RESUME: on_start,
        events.PY_RETURN: on_return,
        events.PY_YIELD: on_yield,
        events.PY_UNWIND: on_unwind,
        events.LINE: on_line,
    }
    monitoring.use_tool_id(tool, "pytest-repro where")
    try:
        for event, callback in callbacks.items():
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(
            tool, events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD | events.PY_UNWIND
        )
        yield
    finally:
        monitoring.set_events(tool, 0)
        for code in begun:
            monitoring.set_local_events(tool, code, 0)
        for event in callbacks:
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
