"""A clock that goes on by a tick with each reading of the user's code, and by nothing else."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytest_repro.axes.clock import has_time_machine
from pytest_repro.axes.patches import Patches
from pytest_repro.sources.fork_lock import FORK_LOCK
from pytest_repro.sources.frames import is_own_file, is_standard_file, is_users_file
from pytest_repro.sources.sightings import note

#: Where a pinned clock starts [s since 1970], and how far each reading moves it [s]: one that stood still would never
#: end a loop that waits for it.
PINNED_TIME_S = 1_700_000_000.0
TICK_S = 1e-3
#: Readings by thread: a thread that also looks at the clock, when it pleases, must not move what the others read.
_clock: dict[int, int] = {}


def restart_clock() -> None:
    """Begin again where the clock starts."""
    with FORK_LOCK:
        _clock.clear()


def pinned_moment() -> float:
    """Return the time [s since 1970] of the next reading of a pinned clock by this thread."""
    with FORK_LOCK:
        thread = threading.get_ident()
        _clock[thread] = ticks = _clock.get(thread, 0) + 1
        return PINNED_TIME_S + ticks * TICK_S


def patch_clocks(patches: Patches, is_pinned: bool) -> None:
    """Have every reading of a clock noted, and given by the pinned one where asked."""
    if is_pinned and has_time_machine():
        # What is compiled against Python itself, as pandas is, asks no function that could be replaced by name.
        time_machine: Any = importlib.import_module("time_machine")
        patches.enter_context(time_machine.travel(PINNED_TIME_S, tick=False))
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"):
        real = getattr(time, name)
        patches.swap(real, _clock_reading(real, name, is_pinned))


#: Threads in the midst of callbacks of the garbage collector. Hypothesis has one that reads the clock: it runs whenever
#: memory happens to be collected, and must move no pinned clock.
_collecting: set[int] = set()


@contextmanager
def collections_apart() -> Iterator[None]:
    """Leave alone what callbacks of the garbage collector read."""

    def begin(phase: str, info: dict[str, int]) -> None:
        _collecting.add(threading.get_ident())

    def end(phase: str, info: dict[str, int]) -> None:
        _collecting.discard(threading.get_ident())

    gc.callbacks.insert(0, begin)
    gc.callbacks.append(end)
    try:
        yield
    finally:
        for callback in (begin, end):
            with suppress(ValueError):
                gc.callbacks.remove(callback)
        _collecting.clear()


def _clock_reading(real: Callable[[], Any], name: str, is_pinned: bool) -> Callable[[], Any]:
    def read() -> Any:
        if threading.get_ident() in _collecting:
            return real()
        caller = sys._getframe(1).f_code.co_filename
        what = name
        if caller.endswith("clock_fallback.py"):
            what = "datetime.now"
        elif is_standard_file(caller) or caller.startswith("<") or is_own_file(caller):
            return real()
        site = note("clock", what)
        if not is_pinned or (site is None and not is_users_file(caller)):
            return real()
        moment = pinned_moment()
        return int(moment * 1e9) if name.endswith("_ns") else moment

    return read
