"""End a run in this process at its timeout, and restart pytest-timeout's timer, which is for one run as well."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

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
