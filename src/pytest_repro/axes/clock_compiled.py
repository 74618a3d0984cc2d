"""Shift of the time of day that compiled libraries read. Many seed their generators from C's `time()`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_repro.axes.compiled_calls import Maker, reads_clock, replaced_calls

_NS = 10**9


@contextmanager
def shift_compiled_clocks(shift_s: float) -> Iterator[None]:
    """Shift the time that the libraries loaded now read on threads that run Python. Linux only.

    Threads of their own keep the real time. So do the libraries that manage threads, whose deadlines would never come.
    `clock_gettime` is not shifted either: runtimes call it all the time on many threads to measure durations, and each
    call of a replacement waits for the GIL.

    Parameters
    ----------
    shift_s : float
        Shift [s].
    """
    whole, shift_ns = int(shift_s), round(shift_s * _NS)

    def read_time(path: str, real: Any) -> Callable[..., Any]:
        def call(out: int | None) -> int:
            now = int(real(None)) + (whole if _runs_python() else 0)
            if out:
                ctypes.c_long.from_address(out).value = now
            return now

        return call

    def gettimeofday(path: str, real: Any) -> Callable[..., Any]:
        def call(out: int | None, zone: int | None) -> int:
            status = int(real(out, zone))
            if status == 0 and out and _runs_python():
                ctypes.c_long.from_address(out).value += whole  # struct timeval begins with the whole seconds
            return status

        return call

    def system_clock(path: str, real: Any) -> Callable[..., Any]:
        return lambda: int(real()) + (shift_ns if _runs_python() else 0)

    makers: dict[str, Maker] = {
        "time": read_time,
        "gettimeofday": gettimeofday,
        "_ZNSt6chrono3_V212system_clock3nowEv": system_clock,
    }
    with replaced_calls(makers, reads_clock):
        yield


def _runs_python() -> bool:
    """Return whether Python called the library on this thread, which then has frames outside this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_filename != __file__:
            return True
        frame = frame.f_back
    return frame.f_code.co_filename != __file__
