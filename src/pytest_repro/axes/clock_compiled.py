"""Shift the time of day that compiled libraries read: C's `time()`, from which many seed their generators."""

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
    """Shift what the libraries that are loaded now read on threads that run Python; Linux only.

    Threads of their own keep the real time, and so do the libraries of threads: they wait for moments, which would not
    come. So does `clock_gettime`: runtimes ask it all the time for how long things take, on many threads, and each call
    of a stand-in waits for Python's lock.
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
                ctypes.c_long.from_address(out).value += whole  # whole seconds stand first
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
    """Tell whether Python called the library on this thread: the frames above are its own."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_filename != __file__:
            return True
        frame = frame.f_back
    return frame.f_code.co_filename != __file__
