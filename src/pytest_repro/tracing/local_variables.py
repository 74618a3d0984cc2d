"""Local variables of a function at its end, read without a change of the function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

Sink = Callable[[Mapping[str, object]], None]


@contextmanager
def watch_locals(code: CodeType, sink: Sink) -> Iterator[None]:
    """Call `sink` with the locals of `code`'s frame each time that it returns.

    Uses `sys.monitoring` on Python 3.12 and later. Before, it uses a trace function for events of this one frame, or
    the profile function while a debugger or coverage holds the trace function.
    """
    if hasattr(sys, "monitoring"):
        with _monitored(code, sink):
            yield
    elif sys.gettrace() is None:
        with _traced(code, sink):
            yield
    else:
        with _profiled(code, sink):
            yield


@contextmanager
def _traced(code: CodeType, sink: Sink) -> Iterator[None]:
    def on_call(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code is not code:
            return None
        # No line events, which would slow the test down.
        frame.f_trace_lines = False
        return on_return

    def on_return(frame: FrameType, event: str, arg: object) -> Any:
        if event == "return":
            sink(frame.f_locals)
        return on_return

    sys.settrace(on_call)
    try:
        yield
    finally:
        if sys.gettrace() is on_call:
            sys.settrace(None)


@contextmanager
def _profiled(code: CodeType, sink: Sink) -> Iterator[None]:
    before = sys.getprofile()

    def on_event(frame: FrameType, event: Any, arg: object) -> None:
        if event == "return" and frame.f_code is code:
            sink(frame.f_locals)
        if before is not None:
            before(frame, event, arg)

    sys.setprofile(on_event)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextmanager
def _monitored(code: CodeType, sink: Sink) -> Iterator[None]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = next((t for t in range(3, 6) if monitoring.get_tool(t) is None), None)
    if tool is None:
        with _profiled(code, sink):
            yield
        return

    def on_return(returning: CodeType, offset: int, value: object) -> None:
        # Frame 0 is this callback, and frame 1 the function that returns.
        sink(sys._getframe(1).f_locals)

    monitoring.use_tool_id(tool, "pytest-repro")
    try:
        monitoring.register_callback(tool, monitoring.events.PY_RETURN, on_return)
        monitoring.set_local_events(tool, code, monitoring.events.PY_RETURN)
        yield
    finally:
        monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, monitoring.events.PY_RETURN, None)
        monitoring.free_tool_id(tool)
