"""schedule: the order in which threads and tasks run, changed by short switch intervals and delayed starts."""

from __future__ import annotations

import concurrent.futures
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, Effect
from pytest_repro.axes.integers import IntegerAxis
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.patches import Patches
from pytest_repro.model import JSON

#: Interval at which CPython may switch threads [s], in place of 5 ms.
SWITCH_INTERVAL_S = 1e-6

#: Longest delay before a thread or a task begins [s], well above the 0.1 ms that starting one takes.
MAX_DELAY_S = 2e-3


class Delayed:
    """Task that waits before it begins. A class at module level, so that it can be sent to a worker process."""

    def __init__(self, function: Callable[..., Any], delay_s: float) -> None:
        self.function: Callable[..., Any] = function
        self.delay_s: float = delay_s

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(self.delay_s)
        return self.function(*args, **kwargs)


class DelayedItems(Delayed):
    """Function that a pool calls once per item, where each call waits for a time of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Wait between 0 and the longest delay, then call the function."""
        # Fibonacci hashing of the clock and no generator: all items of one call share this object, in processes too.
        time.sleep((time.perf_counter_ns() * 2_654_435_761 % 2**32) / 2**32 * MAX_DELAY_S)
        return self.function(*args, **kwargs)


class ScheduleAxis(IntegerAxis):
    """Values are seeds of the delays, each of which makes legal but unusual schedules.

    No trace function is installed: `threading.settrace` would slow the run tenfold and take the place of a debugger.
    """

    name: ClassVar[str] = "schedule"
    hint: ClassVar[str] = "a seed of delays"

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return no delays and two seeds, since one changed order may happen to be the usual one."""
        return [None, 1, 2]

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Shorten the switch interval, and delay the starts of threads and tasks."""
        if not isinstance(value, int):
            yield
            return
        from multiprocessing.pool import Pool  # not at start-up: few runs use one

        draw = _Delays(value)
        with Patches() as patches:
            patches.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            patches.put(threading.Thread, "_bootstrap_inner", _delay_thread(draw))
            for executor in (concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor):
                patches.put(executor, "submit", _delay_submit(executor.submit, draw))
            for method in ("apply_async", "imap", "imap_unordered"):
                patches.put(Pool, method, _delay_pool_method(getattr(Pool, method), draw))
            yield

    def verify(self, value: JSON) -> Effect:
        """Read back the switch interval, and return the seed of the delays."""
        interval = sys.getswitchinterval()
        problems: tuple[tuple[str, str], ...] = ()
        if value is not None and interval > 10 * SWITCH_INTERVAL_S:
            problems = (("switch interval", f"the run set it to {interval} s"),)
        return Effect(self.name, value, {"switch interval": interval, "delays": value}, problems)

    def describe(self, value: JSON) -> str:
        return "schedule as is" if value is None else f"shaken schedule {value}"


class _Delays:
    """Draws delays from a generator of its own, so that the global `random` does not change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self) -> float:
        return self._random.random() * MAX_DELAY_S  # one call is atomic, whatever thread it is on


def _delay_thread(draw: _Delays) -> Callable[[Any], None]:
    original: Callable[[Any], None] = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def bootstrap(thread: Any) -> None:
        # In the new thread, before it reports to its creator, which waits for that in start(). Only a delay after the
        # report changes the order, so the delay goes around run().
        run, delay_s, own = thread.run, draw(), thread.__dict__.get("run")

        def delayed_run() -> None:
            time.sleep(delay_s)
            run()

        thread.run = delayed_run
        try:
            original(thread)
        finally:
            thread.__dict__.pop("run", None)  # it refers to the thread
            if own is not None:
                thread.run = own

    return bootstrap


def _delay_submit(original: Callable[..., Any], draw: _Delays) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return original(self, Delayed(fn, draw()), *args, **kwargs)

    return submit


def _delay_pool_method(original: Callable[..., Any], draw: _Delays) -> Callable[..., Any]:
    def method(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(self, DelayedItems(func, draw()), *args, **kwargs)

    return method


AXIS = ScheduleAxis()
