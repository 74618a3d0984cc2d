"""Where the events of a run come from: `sys.monitoring`, or `sys.settrace` before there was one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from pytest_repro.tracing.watcher import Watcher, is_yield

#: Trace functions that measure coverage: what they miss is a repetition of runs that they have measured.
_COVERAGE = "coverage"


def why_not(function: object) -> str:
    """Say why a run cannot be watched beside the trace function set now; empty if it can."""
    if function is None:
        return ""
    owner = type(getattr(function, "__self__", function))
    if owner.__module__.partition(".")[0] == _COVERAGE:
        return ""
    return f"a debugger or another tool ({owner.__module__}.{owner.__qualname__}) holds the trace function"


class TraceFunction:
    """What `sys.settrace` is to be given to tell a watcher.

    Parameters
    ----------
    watcher : Watcher
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        # One object: a bound method is made anew each time that it is asked for.
        self._on_event = self._take_event

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._on_event if self._watcher.enter(frame) else None

    def _take_event(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            self._watcher.line(frame, frame.f_lineno)
        elif event == "return":
            self._watcher.leave(frame, arg, is_yield=is_yield(frame))
        return self._on_event


@contextmanager
def monitored(watcher: Watcher) -> Iterator[None]:
    """Have `sys.monitoring` tell the watcher; a debugger's and coverage's own tools go on."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = next((number for number in (3, 4, 5, 2) if monitoring.get_tool(number) is None), None)
    if tool is None:
        watcher.note("every tool id of sys.monitoring is taken")
        yield
        return
    events = monitoring.events
    begun: set[CodeType] = set()

    def on_start(code: CodeType, offset: int) -> Any:
        frame = sys._getframe(1)
        if not watcher.enter(frame):
            # For good only where the code is not the user's: a call that is left out says nothing of the next one.
            return None if watcher.takes(code) else monitoring.DISABLE
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
            watcher.leave(sys._getframe(1), None, is_yield=False)

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
