"""Draws and readings of the clock while a framework traces a function: it keeps what they gave as constants."""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from pytest_repro.tracing.user_code import is_user_file

_CLOCKS = ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time")
_NAMES = frozenset({*_CLOCKS, "now", "utcnow", "today"})
#: Functions inspected that a traced one calls.
_MAX_FUNCTIONS = 50


@contextmanager
def noting_baked(function: Any, note: Callable[..., None]) -> Iterator[None]:
    """Note if the user's code draws from a global generator of the host, or reads the clock, within the block.

    Parameters
    ----------
    function : object
        What is traced. Calls are observed only if it names a clock, since that makes them slower.
    note : callable (kind, place)
    """
    code = next(iter(_codes_of(function)), None)
    place = None if code is None else f"{Path(code.co_filename).name}:{code.co_firstlineno} in {code.co_name}"
    before = read_generators()
    with _clock_noted(function, note):
        yield
    if place is not None and read_generators() != before:
        note("traced_draw", place)


def read_generators() -> tuple[Any, ...]:
    """Return the states of the generators that all modules share."""
    states: list[Any] = [random.getstate()]
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        kind, words, *rest = numpy_random.get_state()
        states += [kind, words.tobytes(), *rest]
    return tuple(states)


@contextmanager
def _clock_noted(function: Any, note: Callable[..., None]) -> Iterator[None]:
    if sys.getprofile() is not None or not any(not _NAMES.isdisjoint(code.co_names) for code in _codes_of(function)):
        yield
        return

    def observe(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and _is_reading(called) and is_user_file(frame.f_code.co_filename):
            note("traced_clock", f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}")

    sys.setprofile(observe)
    try:
        yield
    finally:
        if sys.getprofile() is observe:
            sys.setprofile(None)


def _is_reading(called: Any) -> bool:
    owner = getattr(called, "__self__", None)
    if isinstance(owner, type):
        return issubclass(owner, date) and called.__name__ in ("now", "utcnow", "today")
    return isinstance(owner, ModuleType) and owner.__name__ == "time" and called.__name__ in _CLOCKS


def _codes_of(function: Any) -> Iterator[CodeType]:
    """Yield the user's code that a function leads to, by the names of functions that it mentions."""
    waiting: list[Any] = [_unwrap(function)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_FUNCTIONS:
        one = waiting.pop(0)
        if not isinstance(one, FunctionType) or id(one) in seen or not is_user_file(one.__code__.co_filename):
            continue
        seen.add(id(one))
        yield one.__code__
        waiting += [_unwrap(one.__globals__.get(name)) for name in one.__code__.co_names]


def _unwrap(function: Any) -> Any:
    """Return the function inside what JAX, `functools` and decorators wrap around it."""
    for _ in range(20):
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__func__"):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "f_transformed") or type(function).__name__ == "WrappedFun":
            function = function.f
        elif hasattr(function, "forward") and not isinstance(function, type):
            function = function.forward
        else:
            break
    return function
