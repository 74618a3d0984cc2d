"""schedule: thread switches provoked, and the order in which workers finish shaken."""

from __future__ import annotations

import concurrent.futures
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: CPython offers a switch this often [s] in place of every 5 ms.
SWITCH_INTERVAL_S = 1e-6

#: Longest delay [s] before a thread or a task begins: well above what starting one takes (0.1 ms).
MAX_DELAY_S = 2e-3


class Delayed:
    """A task that waits before it begins; a class of its own, so that it reaches a worker process."""

    def __init__(self, function: Callable[..., Any], delay_s: float) -> None:
        self.function, self.delay_s = function, delay_s

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Wait, then work."""
        time.sleep(self.delay_s)
        return self.function(*args, **kwargs)


class ScheduleAxis(BuiltInAxis):
    """Values are seeds of the delays; each makes legal but unusual schedules.

    No trace function is installed (`threading.settrace` would slow the run tenfold and hide it from debuggers):
    short switch intervals, delayed starts and delayed tasks.
    """

    name: ClassVar[str] = "schedule"

    def default_values(self, machine: Machine) -> list[JSON]:
        """As it is, and two seeds: one shaken order may be the usual one."""
        return [None, 1, 2]

    def validate(self, value: JSON) -> None:
        """Take a whole number."""
        if type(value) is not int or value < 0:
            raise UsageError(f"schedule: {value!r} is no seed of delays (a whole number from 0)")

    def parse(self, text: str) -> JSON:
        """Read a whole number."""
        return int(text) if text.isdigit() else text

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Shorten the switch interval, and delay starts of threads and tasks."""
        if not isinstance(value, int):
            yield
            return
        draw = _Delays(value)
        interval = sys.getswitchinterval()
        undo: list[tuple[Any, str, Any]] = []

        def patch(owner: Any, attribute: str, replacement: Any) -> None:
            undo.append((owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, replacement)

        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            patch(threading.Thread, "_bootstrap_inner", _delay_thread(draw))
            for executor in (concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor):
                patch(executor, "submit", _delay_submit(executor.submit, draw))
            for method in ("apply_async", "imap", "imap_unordered"):
                pool = _find_pool()
                patch(pool, method, _delay_pool_method(getattr(pool, method), draw))
            yield
        finally:
            for owner, attribute, original in reversed(undo):
                setattr(owner, attribute, original)
            sys.setswitchinterval(interval)

    def verify(self, value: JSON) -> Effect:
        """Read back the interval and a seed's delays."""
        interval = sys.getswitchinterval()
        observed: dict[str, JSON] = {"switch interval": interval}
        problems: tuple[tuple[str, str], ...] = ()
        if value is not None:
            observed["delays"] = value
            if interval > 10 * SWITCH_INTERVAL_S:
                problems = (("switch interval", f"the run set it to {interval} s"),)
        else:
            observed["delays"] = None
        return Effect(self.name, value, observed, problems)

    def describe(self, value: JSON) -> str:
        """Name the seed."""
        return "schedule as is" if value is None else f"shaken schedule {value}"


class _Delays:
    """Draws delays from a generator of its own: the user's `random` must not notice."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self) -> float:
        return self._random.random() * MAX_DELAY_S  # one draw is whole, in whatever thread


def _delay_thread(draw: _Delays) -> Callable[[Any], None]:
    original: Callable[[Any], None] = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def bootstrap(thread: Any) -> None:
        # In the new thread, before it tells its creator that it runs: the creator waits in start() either way.
        # The delay after that is what shakes the order, so it is put around run().
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
        return original(self, Shaken(func, draw()), *args, **kwargs)

    return method


class Shaken(Delayed):
    """A pool's function, called once per item: each call waits for a time of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Wait between 0 and the longest delay, then work."""
        # Fibonacci hashing of the clock: the items of one call share this object, in processes too, so no generator.
        time.sleep((time.perf_counter_ns() * 2_654_435_761 % 2**32) / 2**32 * MAX_DELAY_S)
        return self.function(*args, **kwargs)


def _find_pool() -> Any:
    from multiprocessing.pool import Pool  # lazily: few runs use one

    return Pool


AXIS = ScheduleAxis()
