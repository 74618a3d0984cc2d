"""clock: the time of day, shifted. Durations stay true."""

from __future__ import annotations

import ctypes
import datetime
import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pytest_repro.axes.base import REPLACED, AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.builtin_calls import real_function, redirected
from pytest_repro.axes.clock_compiled import shift_compiled_clocks
from pytest_repro.axes.clock_fallback import shift_python_clocks
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.started_programs import noted_programs, serves_multiprocessing
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON
from pytest_repro.undisturbed import was_replaced

#: 400 days, 5 h, 17 min, 23 s: changes year, month (34 or 35 days beyond a whole year), day, weekday, hour and minute.
DEFAULT_SHIFT_S = 400 * 86_400 + 5 * 3_600 + 17 * 60 + 23

_time, _time_ns, _localtime, _ctime, _asctime = time.time, time.time_ns, time.localtime, time.ctime, time.asctime
_real_ctime, _real_asctime = real_function(_ctime), real_function(_asctime)
_datetime = datetime.datetime

#: Component for the programs that a run starts, whose clocks are not shifted.
_PROGRAMS = "the programs that the run starts"

#: Readings this close to a shift [s] count as that shift. They are microseconds apart, unless a loaded machine pauses.
_SLACK_S = 5.0


class ClockAxis(BuiltInAxis):
    """Values are shifts in seconds.

    With the package time-machine (extra ``clock``) every clock of the standard library is shifted, also for code that
    has bound a function earlier, because it replaces the C functions themselves. Without it, `clock_fallback` shifts
    what can be shifted from Python. `clock_compiled` shifts the readings of compiled libraries.
    """

    name: ClassVar[str] = "clock"

    def __init__(self) -> None:
        #: Programs that the run in progress has started.
        self._commands: list[list[str]] = []

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return no shift, and one that changes year, month, day, weekday, hour and minute."""
        return [0, DEFAULT_SHIFT_S]

    def validate(self, value: JSON) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"clock must be a shift in seconds, such as {DEFAULT_SHIFT_S}, got {value!r}")
        if not -time.time() < value < 200 * 365 * 86_400:
            raise UsageError(f"clock: a shift of {value!r} s leads out of the years 1970 to about 2200")

    def parse(self, text: str) -> JSON:
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return text

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Shift the time of day, but not `monotonic` and `perf_counter`."""
        with noted_programs() as self._commands:
            if not isinstance(value, (int, float)) or not value:
                yield
                return
            with travel(value) if has_time_machine() else shift_python_clocks(value), shift_compiled_clocks(value):
                yield

    def verify(self, value: JSON) -> Effect:
        """Read back the distance of each clock from the C library's [s], unless the test has a clock of its own."""
        real = read_real_time()
        shifts = {
            "time.time": (time, "time", _time, _time() - real),
            "time.time_ns": (time, "time_ns", _time_ns, _time_ns() / 1e9 - real),
            "time.localtime": (time, "localtime", _localtime, time.mktime(_localtime()) - real),
            "datetime.now": (datetime, "datetime", _datetime, _datetime.now(datetime.UTC).timestamp() - real),
        }
        wanted = float(value) if isinstance(value, (int, float)) else 0.0
        observed: dict[str, JSON] = {
            component: REPLACED if was_replaced(module, name, function) else _snap(shift, wanted)
            for component, (module, name, function, shift) in shifts.items()
        }
        problems = [
            (name, REPLACED if seen == REPLACED else f"is shifted by {seen} s")
            for name, seen in observed.items()
            if seen != wanted
        ]
        if not all(map(serves_multiprocessing, self._commands)):
            observed[_PROGRAMS] = 0.0
            problems += [(_PROGRAMS, "they read the real time")] if wanted else []
        if wanted and not has_time_machine():
            problems.append(
                ("datetime.now", "install the extra 'clock' (time-machine 3 or newer) to shift what libraries read")
            )
        return Effect(self.name, value, observed, tuple(problems))

    def describe(self, value: JSON) -> str:
        if not isinstance(value, (int, float)) or not value:
            return "clock as is"
        days, rest = divmod(abs(value), 86_400)
        return f"clock {'+' if value > 0 else '-'}{days:.0f} d {rest / 3_600:.1f} h"


def _snap(shift: float, wanted: float) -> float:
    for exact in (wanted, 0.0):
        if abs(shift - exact) < _SLACK_S:
            return exact
    return round(shift)


def has_time_machine() -> bool:
    """Return whether time-machine 3 or newer is installed.

    Version 2 shifts `time.monotonic` too, and event loops hang.
    """
    if importlib.util.find_spec("time_machine") is None:
        return False
    from importlib.metadata import PackageNotFoundError, version

    try:
        return int(version("time-machine").partition(".")[0]) >= 3
    except (PackageNotFoundError, ValueError):
        return False


@contextmanager
def travel(shift_s: float) -> Iterator[None]:
    """Shift the clocks by time-machine, and let them run on."""
    import time_machine

    # A float carries no time zone, so that TZ stays what it is.
    with time_machine.travel(float(time.time() + shift_s), tick=True):
        time.time()  # its clock starts at the first reading, which is now
        # These two read the C library's clock, and time-machine does not replace them.
        with redirected(
            {
                _ctime: lambda *args: _real_ctime(*args) if args else _real_ctime(_time()),
                _asctime: lambda *args: _real_asctime(*args or (_localtime(),)),
            }
        ):
            yield


def read_real_time() -> float:
    """Return the C library's time of day [s since 1970], which no replacement in Python can shift."""

    class Timespec(ctypes.Structure):
        _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

    now = Timespec()
    ctypes.CDLL(None).clock_gettime(0, ctypes.byref(now))
    return float(now.seconds) + float(now.nanoseconds) / 1e9


AXIS = ClockAxis()
