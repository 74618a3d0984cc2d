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

from pytest_repro.axes.compiled_calls import SPOKEN, Maker, find_library, is_cxx
from pytest_repro.sources.sightings import Site, note
from pytest_repro.sources.turns import PATIENCE_S

_CLOCK_REALTIME = 0
_STEP_S = 0.0005
_sleep = time.sleep
_TASKS = "/proc/self/task"


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("rest", ctypes.c_long))


def clock_makers(moment: Callable[[], float] | None) -> dict[str, Maker]:
    """Return replacements of the functions that read the clock.

    Parameters
    ----------
    moment : callable () -> float, optional
        Returns the pinned time [s since 1970]; without it readings are noted alone.
    """
    clocks = _Clocks(moment)
    return {
        "time": clocks.time,
        "gettimeofday": clocks.gettimeofday,
        "clock_gettime": clocks.clock_gettime,
        "_ZNSt6chrono3_V212system_clock3nowEv": clocks.system_clock,
    }


def entropy_makers(draw: Callable[[Site, int], bytes] | None) -> dict[str, Maker]:
    """Return replacements of the functions that draw entropy.

    Parameters
    ----------
    draw : callable (site, size) -> bytes, optional
        Returns pinned entropy; without it draws are noted alone.
    """
    entropy = _Entropy(draw)
    return {"_ZNSt13random_device9_M_getvalEv": entropy.random_device, "getrandom": entropy.getrandom}


def thread_makers(*, is_serial: bool) -> dict[str, Maker]:
    """Return replacements of the function that starts threads.

    They go into the C++ library too, which starts the threads of other libraries.
    """
    return {"pthread_create": _Starts(is_serial=is_serial).make}


def name_of_library(path: str) -> str:
    """Return a short name: ``hnswlib`` for ``hnswlib.cpython-311-x86_64-linux-gnu.so``."""
    return Path(path).name.partition(".")[0].partition("-")[0] or "a compiled library"


def _safely(call: Callable[..., Any], real: Any) -> Callable[..., Any]:
    """Return a call that falls back on the real one: an exception would be lost, and the library be answered 0."""

    def safe(*args: Any) -> Any:
        try:
            return call(*args)
        except Exception:
            return real(*args)

    return safe


class _Clocks:
    def __init__(self, moment: Callable[[], float] | None) -> None:
        self._moment = moment

    def _read(self, path: str, function: str) -> float | None:
        """Note a reading, and return the pinned time, or None for the real one."""
        site = note("clock", f"{function}, by compiled code", name_of_library(path))
        return self._moment() if self._moment is not None and site is not None else None

    def time(self, path: str, real: Any) -> Callable[..., Any]:
        def call(out: int | None) -> int:
            now = self._read(path, "time()")
            if now is None:
                return int(real(out))
            if out:
                ctypes.c_long.from_address(out).value = int(now)
            return int(now)

        return _safely(call, real)

    def gettimeofday(self, path: str, real: Any) -> Callable[..., Any]:
        def call(out: int | None, zone: int | None) -> int:
            now = self._read(path, "gettimeofday()")
            if now is None or not out:
                return int(real(out, zone))
            _fill(out, now, 10**6)
            return 0

        return _safely(call, real)

    def clock_gettime(self, path: str, real: Any) -> Callable[..., Any]:
        def call(clock: int, out: int | None) -> int:
            now = self._read(path, "clock_gettime()") if clock == _CLOCK_REALTIME else None
            if now is None or not out:
                return int(real(clock, out))
            _fill(out, now, 10**9)
            return 0

        return _safely(call, real)

    def system_clock(self, path: str, real: Any) -> Callable[..., Any]:
        def call() -> int:
            now = self._read(path, SPOKEN["_ZNSt6chrono3_V212system_clock3nowEv"])
            return int(real()) if now is None else int(now * 10**9)

        return _safely(call, real)


def _fill(address: int, now: float, unit: int) -> None:
    out = _Timespec.from_address(address)
    out.seconds, out.rest = int(now), int(now % 1.0 * unit)


class _Entropy:
    def __init__(self, draw: Callable[[Site, int], bytes] | None) -> None:
        self._draw = draw

    def _take(self, path: str, function: str, size: int) -> bytes | None:
        site = note("entropy", f"{function}, by compiled code", name_of_library(path))
        return self._draw(site, size) if self._draw is not None and site is not None else None

    def random_device(self, path: str, real: Any) -> Callable[..., Any]:
        def call(device: int) -> int:
            drawn = self._take(path, SPOKEN["_ZNSt13random_device9_M_getvalEv"], 4)
            return int(real(device)) if drawn is None else int.from_bytes(drawn, "little")

        return _safely(call, real)

    def getrandom(self, path: str, real: Any) -> Callable[..., Any]:
        def call(out: int, size: int, flags: int) -> int:
            drawn = self._take(path, "getrandom()", size)
            if drawn is None:
                return int(real(out, size, flags))
            ctypes.memmove(out, drawn, size)
            return size

        return _safely(call, real)


class _Starts:
    """Starts of threads by libraries. The starter of a serial one continues when it has ended."""

    def __init__(self, *, is_serial: bool) -> None:
        self._is_serial = is_serial
        #: Kinds of threads that did not end in time: threads of a pool, which wait for work.
        self._lasting: set[tuple[int, int]] = set()

    def make(self, path: str, real: Any) -> Callable[..., Any]:
        def create(out: int, attributes: int | None, routine: int, argument: int | None) -> int:
            kind = (routine, 0)
            if is_cxx(path) and argument:
                # std::thread starts each through one routine; its argument begins with the address of its class.
                kind = (routine, ctypes.c_uint64.from_address(argument).value)
            site = note("thread", "threads of compiled code", name_of_library(find_library(kind[1] or routine)))
            if not self._is_serial or site is None or kind in self._lasting:
                return int(real(out, attributes, routine, argument))
            before = _list_tasks()
            status = int(real(out, attributes, routine, argument))
            with suppress(Exception):  # the thread runs: a failure from here on must not start it again
                if not _wait_for_end(_list_tasks() - before):
                    self._lasting.add(kind)
            return status

        return _safely(create, real)


def _list_tasks() -> set[str]:
    return set(os.listdir(_TASKS))  # noqa: PTH208 - names, often


def _wait_for_end(tasks: set[str]) -> bool:
    for _ in range(int(PATIENCE_S / _STEP_S)):
        if not any(os.path.exists(f"{_TASKS}/{task}") for task in tasks):  # noqa: PTH110 - a path of the kernel's
            return True
        _sleep(_STEP_S)
    return False
