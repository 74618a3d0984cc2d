"""Calls by which compiled libraries reach a source without Python: the clock, entropy, threads of their own.

They are noted and pinned by the same rule as Python's, where a user's line leads to the library. A thread that a
library started has no such line, and is left alone.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_repro.axes.compiled_calls import CPP_NAMES, Maker, find_library, is_cxx
from pytest_repro.sources.sightings import Site, note
from pytest_repro.sources.turns import PATIENCE_S

_CLOCK_REALTIME = 0
_SYSTEM_CLOCK, _RANDOM_DEVICE = "_ZNSt6chrono3_V212system_clock3nowEv", "_ZNSt13random_device9_M_getvalEv"
_STEP_S = 0.0005
_sleep = time.sleep
_TASKS = "/proc/self/task"


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("rest", ctypes.c_long))


def clock_makers(moment: Callable[[Site | None], float | None]) -> dict[str, Maker]:
    """Return replacements of the functions that read the clock.

    Parameters
    ----------
    moment : callable (site) -> float or None
        Returns the pinned time [s since 1970] of a reading, or None if that is only noted.
    """

    def read(library: str, function: str) -> float | None:
        return moment(note("clock", f"{function}, by compiled code", library))

    def time_(library: str, out: int | None) -> int | None:
        now = read(library, "time()")
        if now is not None and out:
            ctypes.c_long.from_address(out).value = int(now)
        return None if now is None else int(now)

    def gettimeofday(library: str, out: int | None, zone: int | None) -> int | None:
        return _fill(out, read(library, "gettimeofday()"), 10**6)

    def clock_gettime(library: str, clock: int, out: int | None) -> int | None:
        return _fill(out, read(library, "clock_gettime()"), 10**9) if clock == _CLOCK_REALTIME else None

    def system_clock(library: str) -> int | None:
        now = read(library, CPP_NAMES[_SYSTEM_CLOCK])
        return None if now is None else int(now * 10**9)

    calls: dict[str, Callable[..., int | None]] = {"time": time_, "gettimeofday": gettimeofday}
    calls |= {"clock_gettime": clock_gettime, _SYSTEM_CLOCK: system_clock}
    return {name: _replace_by(call) for name, call in calls.items()}


def _fill(out: int | None, now: float | None, unit: int) -> int | None:
    if not out or now is None:
        return None
    found = _Timespec.from_address(out)
    found.seconds, found.rest = int(now), int(now % 1.0 * unit)
    return 0


def entropy_makers(draw: Callable[[Site | None, int], bytes | None]) -> dict[str, Maker]:
    """Return replacements of the functions that draw entropy.

    Parameters
    ----------
    draw : callable (site, size) -> bytes or None
        Returns pinned entropy, or None if a draw is only noted.
    """

    def take(library: str, function: str, size: int) -> bytes | None:
        return draw(note("entropy", f"{function}, by compiled code", library), size)

    def random_device(library: str, device: int) -> int | None:
        drawn = take(library, CPP_NAMES[_RANDOM_DEVICE], 4)
        return None if drawn is None else int.from_bytes(drawn, "little")

    def getrandom(library: str, out: int, size: int, flags: int) -> int | None:
        drawn = take(library, "getrandom()", size)
        if drawn is None:
            return None
        ctypes.memmove(out, drawn, size)
        return size

    return {_RANDOM_DEVICE: _replace_by(random_device), "getrandom": _replace_by(getrandom)}


def thread_makers(*, is_serial: bool) -> dict[str, Maker]:
    """Return replacements of the function that starts threads.

    They go into the C++ library too, which starts the threads of other libraries.
    """
    return {"pthread_create": _Starts(is_serial=is_serial).make}


def name_of_library(path: str) -> str:
    """Return a short name: ``hnswlib`` for ``hnswlib.cpython-311-x86_64-linux-gnu.so``."""
    return Path(path).name.partition(".")[0].partition("-")[0] or "a compiled library"


def _replace_by(call: Callable[..., int | None]) -> Maker:
    """Return a maker of a call that takes the library before its arguments, and may leave the rest to the real one."""

    def make(path: str, real: Any) -> Callable[..., int]:
        library = name_of_library(path)

        def replaced(*args: Any) -> int:
            found = None
            with suppress(Exception):  # it would be lost, and the library be answered 0
                found = call(library, *args)
            return int(real(*args)) if found is None else found

        return replaced

    return make


class _Starts:
    """Starts of threads by libraries. The starter of a serial one continues when it has ended."""

    def __init__(self, *, is_serial: bool) -> None:
        self._is_serial = is_serial
        #: Kinds of threads that did not end in time: threads of a pool, which wait for work.
        self._lasting: set[tuple[int, int]] = set()

    def make(self, path: str, real: Any) -> Callable[..., int]:
        def create(library: str, out: int, attributes: int | None, routine: int, argument: int | None) -> int | None:
            kind = (routine, 0)
            if is_cxx(path) and argument:
                # std::thread starts each through one routine. Its argument begins with the address of its class.
                kind = (routine, ctypes.c_uint64.from_address(argument).value)
            site = note("thread", "threads of compiled code", name_of_library(find_library(kind[1] or routine)))
            if not self._is_serial or site is None or kind in self._lasting:
                return None
            before = _list_tasks()
            status = int(real(out, attributes, routine, argument))
            with suppress(Exception):  # the thread runs: a failure from here on must not start it again
                if not _wait_for_end(_list_tasks() - before):
                    self._lasting.add(kind)
            return status

        return _replace_by(create)(path, real)


def _list_tasks() -> set[str]:
    return set(os.listdir(_TASKS))  # noqa: PTH208 - names, often


def _wait_for_end(tasks: set[str]) -> bool:
    for _ in range(int(PATIENCE_S / _STEP_S)):
        if not any(os.path.exists(f"{_TASKS}/{task}") for task in tasks):  # noqa: PTH110 - a path of the kernel's
            return True
        _sleep(_STEP_S)
    return False
