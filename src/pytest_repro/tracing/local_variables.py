"""Local variables of a function at its end, read without a trace or a profile function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from pytest_repro.tracing.return_hook import IS_SUPPORTED, with_return_hook

#: Takes the locals and the returned value.
Sink = Callable[[Mapping[str, object], object], None]

#: Numbers of tools, without that of the debugger. The two that no tool of the documentation has come first.
_TOOLS = (4, 3, 5, 2, 1)


#: Rewritten codes that are kept, for the next run and for the other parameters of a test.
_KEPT = 64


@dataclass(frozen=True, slots=True, eq=False)
class _ByIdentity:
    """A code that equals only itself: codes of other functions may have the same content."""

    code: CodeType

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.code is self.code

    def __hash__(self) -> int:
        return id(self.code)


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


class _Hook:
    """Called by a rewritten code before it returns, for the sink that watches now."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []

    def __call__(self, value: object) -> None:
        # Frame 0 is this method, and frame 1 the function that returns.
        if self.sinks:
            self.sinks[-1](sys._getframe(1).f_locals, value)


@lru_cache(maxsize=_KEPT)
def _rewrite(original: _ByIdentity) -> tuple[CodeType, _Hook]:
    hook = _Hook()
    return with_return_hook(original.code, hook), hook


@contextmanager
def _rewritten(function: FunctionType, sink: Sink) -> Iterator[None]:
    original = function.__code__
    rewritten, hook = _rewrite(_ByIdentity(original))
    hook.sinks.append(sink)
    function.__code__ = rewritten
    try:
        yield
    finally:
        function.__code__ = original
        hook.sinks.pop()


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
