"""End a run in this process at its timeout, where the system can interrupt it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pytest_repro.errors import ReproError


class RunTimeoutError(ReproError):
    """A run took longer than the marker's ``timeout``."""


def why_unlimited() -> str:
    """Return the reason why a run in this process cannot be interrupted now. Empty if it can."""
    if not hasattr(signal, "setitimer"):
        return "this system has no interval timer"
    if threading.current_thread() is not threading.main_thread():
        return "only the main thread can be interrupted"
    if signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        return "another timer is running (pytest-timeout's, which then decides)"
    return ""


@contextmanager
def time_limit(timeout_s: float | None) -> Iterator[None]:
    """Raise RunTimeoutError inside the block once `timeout_s` have passed.

    A call into C code is interrupted only when it returns. A run that may hang there needs its own process
    (``--repro-isolate``).
    """
    if timeout_s is None or why_unlimited():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        raise RunTimeoutError(f"the run took longer than its timeout of {timeout_s:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
