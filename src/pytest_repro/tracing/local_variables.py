"""Local variables of a function at its end, read without a trace or a profile function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from pytest_repro.tracing.return_hook import IS_SUPPORTED, with_return_hook

#: Takes the locals and the returned value.
Sink = Callable[[Mapping[str, object], object], None]

#: Numbers of tools, without that of the debugger. The two that no tool of the documentation has come first.
_TOOLS = (4, 3, 5, 2, 1)


@contextmanager
def watch_locals(function: object, sink: Sink) -> Iterator[None]:
    """Call `sink` with the locals of each call of `function`, at the moment when that call returns.

    Uses `sys.monitoring` on Python 3.12 and later, and a rewritten copy of the function's code on 3.11. Either way no
    other call of the program gets slower, and `sys.gettrace` and `sys.getprofile` are the user's. What the sink keeps
    of the values is its own decision: nothing here holds them after the call.

    A callable without Python code is not watched, nor is a function on 3.12 if all numbers of tools are in use.
    """
    if not isinstance(function, FunctionType):
        yield
    elif hasattr(sys, "monitoring"):
        with _monitored(function.__code__, sink):
            yield
    elif IS_SUPPORTED:
        with _rewritten(function, sink):
            yield
    else:
        yield


@contextmanager
def _rewritten(function: FunctionType, sink: Sink) -> Iterator[None]:
    def on_return(value: object) -> None:
        # Frame 0 is this function, and frame 1 the one that returns.
        sink(sys._getframe(1).f_locals, value)

    original = function.__code__
    function.__code__ = with_return_hook(original, on_return)
    try:
        yield
    finally:
        function.__code__ = original


@contextmanager
def _monitored(code: CodeType, sink: Sink) -> Iterator[None]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = next((t for t in _TOOLS if monitoring.get_tool(t) is None), None)
    if tool is None:
        yield
        return

    def on_return(returning: CodeType, offset: int, value: object) -> None:
        sink(sys._getframe(1).f_locals, value)

    monitoring.use_tool_id(tool, "pytest-repro")
    try:
        monitoring.register_callback(tool, monitoring.events.PY_RETURN, on_return)
        monitoring.set_local_events(tool, code, monitoring.events.PY_RETURN)
        yield
    finally:
        monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, monitoring.events.PY_RETURN, None)
        monitoring.free_tool_id(tool)
