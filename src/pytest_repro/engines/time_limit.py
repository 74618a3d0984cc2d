"""End a run in this process at its timeout, and restart pytest-timeout's timer, which is for one run as well."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

import pytest

#: Pause before a body that caught the first signal, or still cleans up, is interrupted again [s].
MIN_GRACE_S, MAX_GRACE_S = 1.0, 5.0
#: In a tuple, where no library that replaces the clock in all modules finds it.
_CLOCK = (time.monotonic,)
#: Folders of the code around a test, in which nothing may be interrupted at any line.
_AROUND = tuple(f"{os.sep}{name}{os.sep}" for name in ("_pytest", "pluggy"))


class RunTimeoutError(BaseException):
    """A run took longer than the marker's ``timeout``.

    Not an Exception, as a handler that retries after any error would go on.
    """


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
    """Raise RunTimeoutError inside the block once `timeout_s` have passed, or else at its end.

    A block that goes on is interrupted again and again, from the second time on in its error handlers too. A call into
    C code is interrupted only when it returns. A run that may hang there needs its own process (``--repro-isolate``).
    """
    if timeout_s is None:
        yield
        return
    started = _CLOCK[0]()
    limit = _Limit(f"the run took longer than its timeout of {timeout_s:g} s")
    try:
        with nullcontext() if why_unlimited() else limit.interrupts(timeout_s):
            yield
    except (RunTimeoutError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if limit.signals:  # a skip, for example, raised where the test caught the first signal
            raise RunTimeoutError(limit.message) from error
        raise
    seconds = _CLOCK[0]() - started
    if limit.signals or seconds > timeout_s:
        caught = ", and caught the error that was to end it" if limit.signals else ""
        raise RunTimeoutError(f"{limit.message}: it took {seconds:.3g} s{caught}")


class _Limit:
    """The signals that end one block.

    Attributes
    ----------
    signals : int
        Signals so far.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self.signals = 0
        self._outer: FrameType | None = None
        self._traced: list[tuple[FrameType, Any]] = []

    @contextmanager
    def interrupts(self, timeout_s: float) -> Iterator[None]:
        """Interrupt the block after the timeout, and then after each pause."""
        self._outer = _find_caller()
        trace, profile = sys.gettrace(), sys.getprofile()
        before = signal.signal(signal.SIGALRM, self._interrupt)
        signal.setitimer(signal.ITIMER_REAL, timeout_s, min(max(timeout_s, MIN_GRACE_S), MAX_GRACE_S))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if self._traced:
                sys.setprofile(profile)
                sys.settrace(trace)
            for frame, local_trace in self._traced:
                frame.f_trace = local_trace
            self._traced, self._outer = [], None

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        self.signals += 1
        if self.signals > 1:
            self._raise_at_next_line(frame)
        raise RunTimeoutError(self.message)

    def _raise_at_next_line(self, frame: FrameType | None) -> None:
        """Have the error raised once more at the next line of the test's frames: the first one of a handler, if any.

        A loop that catches everything would otherwise catch each signal. The interpreter stops tracing when a trace
        function raises. It traces again when that frame has ended: the caller may catch everything, too.
        """

        def raise_again(frame: FrameType, event: str, arg: object) -> Any:
            if event == "line":
                raise RunTimeoutError(self.message)
            return raise_again

        from pytest_repro.tracing.user_code import is_own_file  # needed only here

        while frame is not None and frame is not self._outer:
            name = frame.f_code.co_filename
            if not (is_own_file(name) or any(part in name for part in _AROUND)):
                self._traced.append((frame, None if frame.f_trace is raise_again else frame.f_trace))
                frame.f_trace = raise_again
            frame = frame.f_back
        if self._traced:
            sys.setprofile(lambda frame, event, arg: sys.settrace(_trace_nothing) if event == "return" else None)
            sys.settrace(_trace_nothing)


def _trace_nothing(frame: FrameType, event: str, arg: object) -> None:
    """Trace no frame but those that have a function of their own."""


def _find_caller() -> FrameType | None:
    """Return the frame of the block that is to be limited."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename in (__file__, contextlib.__file__):
        frame = frame.f_back
    return frame


def restart_timer(item: pytest.Item) -> None:
    """Restart the test's timer. Without pytest-timeout, or if that limits only the test function, do nothing."""
    settings = _settings(item)
    if settings is not None:
        stop_timer(item)
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


def stop_timer(item: pytest.Item) -> None:
    """Stop the test's timer, while the plugin does work that is not the test's."""
    if _settings(item) is not None:
        item.config.hook.pytest_timeout_cancel_timer(item=item)


def _settings(item: pytest.Item) -> Any:
    read = getattr(sys.modules.get("pytest_timeout"), "_get_item_settings", None)
    if read is None or not hasattr(item.config.hook, "pytest_timeout_set_timer"):
        return None
    settings = read(item)
    is_ours = settings.timeout is not None and settings.timeout > 0 and settings.func_only is False
    return settings if is_ours else None
