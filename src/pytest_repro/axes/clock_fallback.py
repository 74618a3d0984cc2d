"""Shift the clocks that Python code reads, without any package.

`datetime.datetime` itself is never replaced: pandas, imported later, takes its C structure for granted and crashes the
interpreter. The user's own modules get a subclass, under the names that they have bound; libraries keep the real one.
"""

from __future__ import annotations

import datetime as real_datetime
import functools
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_repro.axes.patches import replace_everywhere


@contextmanager
def shift_python_clocks(shift_s: float) -> Iterator[None]:
    """Shift `time.*` for everyone, and `datetime` and `date` for modules outside the installed packages.

    A module that is imported while the clocks are shifted sees `time.*` shifted and the real `datetime`.
    """
    swaps = _shift_time_functions(shift_s)
    with replace_everywhere(swaps), datetime_reads_time():
        yield


def _shift_time_functions(shift_s: float) -> dict[int, tuple[Any, Any]]:
    shift_ns = round(shift_s * 1e9)
    real_time, real_time_ns, real_clock, real_clock_ns = (
        time.time,
        time.time_ns,
        time.clock_gettime,
        time.clock_gettime_ns,
    )
    realtime_id = time.CLOCK_REALTIME

    def take_now(real: Callable[..., Any], position: int) -> Callable[..., Any]:
        """Give a function that means "now" without its time argument the shifted now."""

        @functools.wraps(real)
        def shifted(*args: Any) -> Any:
            given = args if len(args) > position and args[position] is not None else None
            if given is not None:
                return real(*given)
            now = real_time() + shift_s
            return real(
                *args[:position], now if real in (time_localtime, time_gmtime, time_ctime) else time_localtime(now)
            )

        return shifted

    time_localtime, time_gmtime, time_ctime, time_asctime, time_strftime = (
        time.localtime,
        time.gmtime,
        time.ctime,
        time.asctime,
        time.strftime,
    )
    pairs: list[tuple[Any, Any]] = [
        (real_time, functools.wraps(real_time)(lambda: real_time() + shift_s)),
        (real_time_ns, functools.wraps(real_time_ns)(lambda: real_time_ns() + shift_ns)),
        (real_clock, functools.wraps(real_clock)(lambda c: real_clock(c) + (shift_s if c == realtime_id else 0))),
        (
            real_clock_ns,
            functools.wraps(real_clock_ns)(lambda c: real_clock_ns(c) + (shift_ns if c == realtime_id else 0)),
        ),
        (time_localtime, take_now(time_localtime, 0)),
        (time_gmtime, take_now(time_gmtime, 0)),
        (time_ctime, take_now(time_ctime, 0)),
        (time_asctime, take_now(time_asctime, 0)),
        (time_strftime, take_now(time_strftime, 1)),
    ]
    return {id(old): (old, new) for old, new in pairs}


class _LikeDate(type):
    """Makes a real datetime an instance of its shifted stand-in, so that isinstance goes on working."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


class ShiftedDatetime(real_datetime.datetime, metaclass=_LikeDate):
    """Reads the shifted clock, and returns real datetimes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return real_datetime.datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: real_datetime.tzinfo | None = None) -> Any:
        """Return the shifted local time, or that of `tz`."""
        return real_datetime.datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def today(cls) -> Any:
        """Return the shifted local time."""
        return real_datetime.datetime.fromtimestamp(time.time())

    @classmethod
    def utcnow(cls) -> Any:
        """Return the shifted UTC time, naive."""
        return real_datetime.datetime.fromtimestamp(time.time(), real_datetime.UTC).replace(tzinfo=None)


class ShiftedDate(real_datetime.date, metaclass=_LikeDate):
    """Reads the shifted clock, and returns real dates."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return real_datetime.date(*args, **kwargs)

    @classmethod
    def today(cls) -> Any:
        """Return the shifted local date."""
        return real_datetime.date.fromtimestamp(time.time())


# Alternative constructors must give real values too: `cls` is the stand-in there.
for _name in (
    "fromtimestamp",
    "utcfromtimestamp",
    "fromisoformat",
    "fromordinal",
    "fromisocalendar",
    "strptime",
    "combine",
):
    for _stand_in in (ShiftedDatetime, ShiftedDate):
        if hasattr(_stand_in.__mro__[1], _name):
            setattr(_stand_in, _name, staticmethod(getattr(_stand_in.__mro__[1], _name)))


@contextmanager
def datetime_reads_time() -> Iterator[None]:
    """Give the user's modules a `datetime` that reads `time.time`, whoever has replaced that."""
    proxy = ModuleType("datetime", real_datetime.__doc__)
    vars(proxy).update({k: v for k, v in vars(real_datetime).items() if not k.startswith("__")})
    vars(proxy).update(datetime=ShiftedDatetime, date=ShiftedDate)
    stand_ins: list[tuple[Any, Any]] = [
        (real_datetime.datetime, ShiftedDatetime),
        (real_datetime.date, ShiftedDate),
        (real_datetime, proxy),
    ]
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for module in [m for m in list(sys.modules.values()) if _is_users(m)]:
        for name, found in list(vars(module).items()):
            for old, new in stand_ins:
                if found is old:
                    vars(module)[name] = new
                    changed.append((vars(module), name, old))
    try:
        yield
    finally:
        for names, name, old in changed:
            names[name] = old


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(str(Path(paths[key]).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_users(module: Any) -> bool:
    """Tell whether a module lies outside the standard library and the installed packages (and is not this one)."""
    file = getattr(module, "__file__", None)
    if type(module) is not ModuleType or module.__name__.startswith("pytest_repro"):
        return False
    if not isinstance(file, str):
        return module.__name__ == "__main__"
    return not str(Path(file).resolve()).startswith(_installed_folders())
