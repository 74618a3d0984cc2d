"""Turns of threads: they start one after the other, and take from a queue one at a time."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from pytest_repro.tracing.user_code import is_user_file

#: How long [s] a task or thread may keep the next one waiting. One that itself waits for the next would never end.
PATIENCE_S = 3.0
#: The same for a daemon, which may be meant to run forever, and for threads that wait for space in a queue.
DAEMONS_PATIENCE_S, FULL_PATIENCE_S = 1.0, 0.5
#: Interval [s] between two checks.
STEP_S = 0.0005
# The probes of the clock replace these functions under their names.
real_sleep: Callable[[float], None] = time.sleep
real_now: Callable[[], float] = time.monotonic
_WAITS, _PUTS = threading.Condition.wait.__code__, queue.Queue.put.__code__


class Starts:
    """Starts threads one by one: the starter of one continues when it has ended or waits for others.

    While threads fill a queue, those started after them are held back, and therefore fill it after them.
    """

    def __init__(self) -> None:
        self._started: list[threading.Thread] = []
        self._held: list[threading.Thread] = []
        self._released_at = 0.0

    def start(self, thread: threading.Thread, real_start: Callable[[Any], None]) -> None:
        """Start a thread in its turn, unless it is a daemon that a library starts for itself."""
        caller = sys._getframe(2).f_code.co_filename
        if thread.daemon and not is_user_file(caller):
            real_start(thread)
            return
        self._started = [other for other in self._started if other.is_alive()]
        before = [other for other in self._started if other in self._held or _is_filling(other)]
        if before:
            self._hold(thread, before)
        real_start(thread)
        if thread in self._held or self._await(thread, DAEMONS_PATIENCE_S if thread.daemon else PATIENCE_S):
            self._started.append(thread)

    def _await(self, thread: threading.Thread, limit_s: float) -> bool:
        end = real_now() + limit_s
        while thread.is_alive() and waiting_frame(thread) is None:
            if real_now() > end:
                return False
            thread.join(STEP_S)
        return True

    def _hold(self, thread: threading.Thread, before: list[threading.Thread]) -> None:
        real_run = thread.run
        self._held.append(thread)

        def run() -> None:
            try:
                self._stay_behind(thread, before)
            finally:
                self._held.remove(thread)
            real_run()

        thread.run = run  # type: ignore[method-assign]

    def _stay_behind(self, me: threading.Thread, before: list[threading.Thread]) -> None:
        """Return when the threads before have ended, or are stuck and perhaps wait for this one to empty the queue."""
        seen: list[FrameType | None] = []
        since = real_now()
        while alive := [other for other in before if other.is_alive()]:
            filling = [other for other in alive if other not in self._held]
            # The frames are kept: a new one might otherwise be at an old one's address.
            frames = [waiting_frame(other) for other in filling]
            if len(frames) != len(seen) or any(one is not other for one, other in zip(frames, seen, strict=True)):
                seen, since = frames, real_now()
            limit_s = FULL_PATIENCE_S if all(frames) else PATIENCE_S
            # The one started last is released first: a thread that empties a queue is started after those that fill it.
            if real_now() - max(since, self._released_at) > limit_s and self._held[-1] is me:
                self._released_at = real_now()
                return
            real_sleep(STEP_S)


def waiting_frame(thread: threading.Thread) -> FrameType | None:
    """Return the frame in which a thread waits for another one (event, barrier, queue), or None if it is working."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame if frame is not None and frame.f_code is _WAITS else None


def _is_filling(thread: threading.Thread) -> bool:
    frame = waiting_frame(thread)
    return frame is not None and frame.f_back is not None and frame.f_back.f_code is _PUTS


class _Turn:
    """The turn at a queue, held by the thread that works on the item it took last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: threading.Thread | None = None
        self._is_given_up = False

    def take(self, limit_s: float) -> None:
        """Wait until the others have ended their work, and never again once one of them took too long."""
        me = threading.current_thread()
        self.leave()
        end = real_now() + limit_s
        with self._changed:
            while not self._is_given_up:
                if self._holder is None or not self._holder.is_alive():
                    self._holder = me
                    return
                if real_now() > end:
                    self._is_given_up = limit_s >= PATIENCE_S
                    return
                self._changed.wait(STEP_S)  # a thread that dies notifies no other

    def leave(self) -> None:
        """End the current thread's turn, if it has it."""
        with self._changed:
            if self._holder is threading.current_thread():
                self._holder = None
                self._changed.notify_all()


def patch_queues(put: Callable[[Any, str, Any], None]) -> None:
    """Let a thread take the next task from a queue only when the task before has ended, whoever took it."""
    real_get, real_done = queue.Queue.get, queue.Queue.task_done

    def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        turn = self.__dict__.setdefault("_repro_turn", _Turn())
        turn.take(PATIENCE_S if timeout is None or not block else min(timeout, PATIENCE_S))
        try:
            return real_get(self, block, timeout)
        except queue.Empty:
            turn.leave()
            raise

    def task_done(self: Any) -> None:
        real_done(self)
        turn = self.__dict__.get("_repro_turn")
        if turn is not None:
            turn.leave()

    put(queue.Queue, "get", get)
    put(queue.Queue, "task_done", task_done)
