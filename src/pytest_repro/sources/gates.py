"""Gates of threads: those that a barrier or an event lets through together continue one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pytest_repro.sources.turns import PATIENCE_S, STEP_S, real_now, real_sleep, waiting_frame


class _Round:
    """Threads that are let through together, in the order in which they arrived."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self._continued: set[threading.Thread] = set()
        self._is_given_up = False

    def arrive(self) -> None:
        self.threads.append(threading.current_thread())

    def leave(self) -> None:
        """Leave the round, since the wait has failed."""
        with suppress(ValueError):
            self.threads.remove(threading.current_thread())

    def proceed(self) -> None:
        """Wait until those that arrived before have ended or wait again, and never again once they took too long."""
        me = threading.current_thread()
        before = self.threads[: self.threads.index(me)]
        end = real_now() + PATIENCE_S
        while not self._is_given_up and any(map(self._is_at_work, before)):
            if real_now() > end:
                self._is_given_up = True
            real_sleep(STEP_S)
        self._continued.add(me)

    def _is_at_work(self, thread: threading.Thread) -> bool:
        # A thread that is let through and not woken yet is still in the frame in which it waited.
        return thread.is_alive() and (thread not in self._continued or waiting_frame(thread) is None)


def patch_gates(put: Callable[[Any, str, Any], None]) -> None:
    """Let threads through a barrier, and past an event that they waited for, in the order in which they arrived."""
    real_pass, real_wait, real_set = threading.Barrier.wait, threading.Event.wait, threading.Event.set

    def pass_barrier(self: Any, timeout: float | None = None) -> int:
        here = self.__dict__.setdefault("_repro_round", _Round())
        here.arrive()
        if len(here.threads) >= self.parties:
            self._repro_round = _Round()
        try:
            index = real_pass(self, timeout)
        except threading.BrokenBarrierError:
            here.leave()
            raise
        here.proceed()
        return index

    def wait(self: Any, timeout: float | None = None) -> bool:
        if self.is_set():
            return True
        here = self.__dict__.setdefault("_repro_round", _Round())
        here.arrive()
        is_set = real_wait(self, timeout)
        if is_set:
            here.proceed()
        else:
            here.leave()
        return is_set

    def set_event(self: Any) -> None:
        self._repro_round = _Round()
        real_set(self)

    put(threading.Barrier, "wait", pass_barrier)
    put(threading.Event, "wait", wait)
    put(threading.Event, "set", set_event)
