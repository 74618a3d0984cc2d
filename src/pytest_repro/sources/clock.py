"""The clock. A pinned one advances by a tick with each reading of the user's code, and by nothing else."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from pytest_repro.axes.clock_fallback import datetime_reads_time
from pytest_repro.model import CauseWords
from pytest_repro.sources.base import STARTED, Evidence, Observation, Source
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import FORK_LOCK, Site, is_pinned_at, lines_of, note
from pytest_repro.tracing.user_code import is_own_file, is_standard_file

#: Start of a pinned clock [s since 1970], and what each reading adds [s]: with a clock that stood still, a loop that
#: waits for it would never end.
PINNED_TIME_S = 1_700_000_000.0
TICK_S = 1e-3
#: The same for readings that are further apart.
SLOW_TICK_S = 3e-3
_DURATIONS = frozenset({"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"})
_CLOCKS = ("time", "time_ns", *sorted(_DURATIONS))
#: Readings by thread: a thread that reads the clock at its own pace must not move it for the others.
_readings: dict[int, int] = {}
#: Threads inside callbacks of the garbage collector. Hypothesis has one that reads the clock: it runs whenever memory
#: happens to be collected, and must not move a pinned clock.
_collecting: set[int] = set()
#: Takes the line that reads the clock, and returns the pinned time [s since 1970] or None if the real one is read.
_Moment = Callable[[Site | None], float | None]


class Clock(Source):
    """Readings of the time and of durations, by Python and by compiled libraries."""

    name = "time"
    label = "clock"
    pinned = "with the clock frozen"
    code = "time.now"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "time.now": CauseWords(
            "the time of day",
            "pass the time in as an argument; do not seed from the clock or stop by it",
            "pass {library} a seed (seed=, random_state=) if it takes one from the clock, or the time itself",
        ),
        "time.seed": CauseWords(
            "the clock, from which a generator is seeded",
            "seed with a number, such as repro.seed",
            "pass {library} a seed (seed=, random_state=): without one it takes the clock",
        ),
        "time.budget": CauseWords("work that ends when its time is up", "do a fixed number of steps"),
        "time.duration": CauseWords(
            "a measured duration, which is part of the result",
            "leave durations out of what is returned or captured, or allow them a tolerance of their own",
        ),
        "time.autotune": CauseWords(
            "a choice made by measured durations", "fix the choice, or base it on something other than time"
        ),
    }
    kinds: ClassVar[tuple[str, ...]] = ("clock", STARTED)
    is_pinned_by_line = True
    pinned_differently_by = "slow_clock"
    # pandas reads the clock in compiled code that no patch reaches.
    libraries: ClassVar[tuple[str, ...]] = ("pandas",)
    reaches_started = True

    def begin_repetition(self) -> None:
        with FORK_LOCK:
            _readings.clear()

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        from pytest_repro.axes.clock import has_time_machine  # which imports NumPy, as compiled_calls does
        from pytest_repro.axes.compiled_calls import reads_clock
        from pytest_repro.sources.compiled import clock_makers

        is_pinned = self.name in pins
        # It would pin the clock at all lines.
        if is_pinned and not lines_of(self.name) and has_time_machine():
            # Code compiled against Python itself, such as pandas, calls no function that could be replaced by name.
            time_machine: Any = importlib.import_module("time_machine")
            patches.enter_context(time_machine.travel(PINNED_TIME_S, tick=False))
        tick_s = SLOW_TICK_S if SlowClock.name in pins else TICK_S

        def moment(site: Site | None) -> float | None:
            is_pinned_here = is_pinned and site is not None and is_pinned_at(self.name, site)
            return pinned_moment(tick_s) if is_pinned_here else None

        for name in _CLOCKS:
            real = getattr(time, name)
            patches.swap(real, _make_clock(real, name, moment))
        patches.enter_context(_collections_noted())
        patches.enter_context(datetime_reads_time())
        patches.replace_compiled(clock_makers(moment), reads_clock)

    def name_code(self, evidence: Evidence) -> str:
        """Return what the time was used for: a seed, a number of steps, a choice, or the reading itself."""
        one, other = evidence.pair
        if evidence.seeds or has_other_seeds(one, other):
            return "time.seed"
        if _count_readings(one) != _count_readings(other):
            return "time.budget"
        details = {str(entry["detail"]) for entry in evidence.sightings}
        if not details or not details <= _DURATIONS:
            return self.code
        # A choice between measured durations is the same if all of them are longer.
        return "time.duration" if evidence.reaches_result else "time.autotune"


class SlowClock(Source):
    """Pinned readings that are further apart than those of :class:`Clock`, together with which it is pinned."""

    name = "slow_clock"
    label: ClassVar[str] = Clock.label
    pinned = "with the clock frozen at other times"
    code: ClassVar[str] = Clock.code
    is_searched = False
    needs: ClassVar[tuple[str, ...]] = (Clock.name,)


def pinned_moment(tick_s: float) -> float:
    """Return the time [s since 1970] of this thread's next reading of a pinned clock."""
    with FORK_LOCK:
        thread = threading.get_ident()
        _readings[thread] = ticks = _readings.get(thread, 0) + 1
        return PINNED_TIME_S + ticks * tick_s


def has_other_seeds(one: Observation, other: Observation) -> bool:
    """Return whether two runs pass other seeds to generators, rather than the same ones and one run some more."""
    seeds, others = (
        {(entry["detail"], entry["line"]) for entry in observation.sightings("seeding")} for observation in (one, other)
    )
    return not (seeds <= others or others <= seeds)


def _count_readings(observation: Observation) -> int:
    return sum(int(entry["count"]) for entry in observation.sightings("clock"))


@contextmanager
def _collections_noted() -> Iterator[None]:
    """Note which threads collect garbage, whose readings are left alone."""

    def begin(phase: str, info: dict[str, int]) -> None:
        _collecting.add(threading.get_ident())

    def end(phase: str, info: dict[str, int]) -> None:
        _collecting.discard(threading.get_ident())

    gc.callbacks.insert(0, begin)
    gc.callbacks.append(end)
    try:
        yield
    finally:
        for callback in (begin, end):
            with suppress(ValueError):
                gc.callbacks.remove(callback)
        _collecting.clear()


def _make_clock(real: Callable[[], Any], name: str, moment: _Moment) -> Callable[[], Any]:
    def read() -> Any:
        if threading.get_ident() in _collecting:
            return real()
        caller = sys._getframe(1).f_code.co_filename
        detail = name
        if caller.endswith("clock_fallback.py"):
            detail = "datetime.now"
        elif is_standard_file(caller) or caller.startswith("<") or is_own_file(caller):
            return real()
        now = moment(note("clock", detail))
        if now is None:
            return real()
        return int(now * 1e9) if name.endswith("_ns") else now

    return read
