"""Shift of the clocks that Python code reads, without any package.

`datetime.datetime` itself is never replaced: pandas, imported later, relies on its C structure and crashes the
interpreter. The user's own modules get a subclass, under the names that they have bound. Libraries keep the real one.
"""

from __future__ import annotations

import datetime as real_datetime
import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pytest_repro.axes.patches import replace_everywhere
from pytest_repro.tracing.user_code import is_user_file


@contextmanager
def shift_python_clocks(shift_s: float) -> Iterator[None]:
    """Shift `time.*` in all modules, and `datetime` and `date` in modules outside the installed packages.

    A module that is imported while the clocks are shifted sees `time.*` shifted and the real `datetime`.

    Parameters
    ----------
    shift_s : float
        Shift [s].
    """
    with replace_everywhere(_shift_time_functions(shift_s)), datetime_reads_time():
        yield


def _shift_time_functions(shift_s: float) -> dict[int, tuple[Any, Any]]:
    shift_ns = round(shift_s * 1e9)
    real_time, real_time_ns, localtime = time.time, time.time_ns, time.localtime
    real_clock, real_clock_ns = time.clock_gettime, time.clock_gettime_ns

    def of_now(real: Callable[..., Any], position: int, now: Callable[[float], Any]) -> Callable[..., Any]:
        """Wrap a function whose missing time argument means "now", so that it gets the shifted now."""

        def shifted(*args: Any) -> Any:
            if len(args) > position and args[position] is not None:
                return real(*args)
            return real(*args[:position], now(real_time() + shift_s))

        return shifted

    def shift_of(clock: int, shift: float) -> float:
        return shift if clock == time.CLOCK_REALTIME else 0

    pairs: list[tuple[Any, Callable[..., Any]]] = [
        (real_time, lambda: real_time() + shift_s),
        (real_time_ns, lambda: real_time_ns() + shift_ns),
        (real_clock, lambda clock: real_clock(clock) + shift_of(clock, shift_s)),
        (real_clock_ns, lambda clock: real_clock_ns(clock) + shift_of(clock, shift_ns)),
        *((real, of_now(real, 0, float)) for real in (localtime, time.gmtime, time.ctime)),
        (time.asctime, of_now(time.asctime, 0, localtime)),
        (time.strftime, of_now(time.strftime, 1, localtime)),
    ]
    return {id(real): (real, functools.wraps(real)(shifted)) for real, shifted in pairs}


class _LikeDate(type):
    """Metaclass that makes a real datetime an instance of the shifted class, so that isinstance still works."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


class ShiftedDatetime(real_datetime.datetime, metaclass=_LikeDate):
    """Class that reads the shifted clock and returns real datetimes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return real_datetime.datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: real_datetime.tzinfo | None = None) -> Any:
        """Return the shifted time in the local zone, or in `tz`."""
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
    """Class that reads the shifted clock and returns real dates."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return real_datetime.date(*args, **kwargs)

    @classmethod
    def today(cls) -> Any:
        """Return the shifted local date."""
        return real_datetime.date.fromtimestamp(time.time())


# Alternative constructors must return real values too, and `cls` would be the shifted class there.
for _shifted in (ShiftedDatetime, ShiftedDate):
    _real = _shifted.__mro__[1]
    for _name in set(dir(_real)) - set(vars(_shifted)):
        if not _name.startswith("_") and getattr(getattr(_real, _name), "__self__", None) is _real:
            setattr(_shifted, _name, staticmethod(getattr(_real, _name)))


@contextmanager
def datetime_reads_time() -> Iterator[None]:
    """Give the user's own modules a `datetime` that reads `time.time`, also where that was replaced."""
    proxy = ModuleType("datetime", real_datetime.__doc__)
    vars(proxy).update({k: v for k, v in vars(real_datetime).items() if not k.startswith("__")})
    vars(proxy).update(datetime=ShiftedDatetime, date=ShiftedDate)
    replacements: list[tuple[Any, Any]] = [
        (real_datetime.datetime, ShiftedDatetime),
        (real_datetime.date, ShiftedDate),
        (real_datetime, proxy),
    ]
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for module in [m for m in list(sys.modules.values()) if _is_own(m)]:
        for name, found in list(vars(module).items()):
            for old, new in replacements:
                if found is old:
                    vars(module)[name] = new
                    changed.append((vars(module), name, old))
    try:
        yield
    finally:
        for names, name, old in changed:
            names[name] = old


def _is_own(module: Any) -> bool:
    if type(module) is not ModuleType or module.__name__.startswith("pytest_repro"):
        return False
    file = getattr(module, "__file__", None)
    return is_user_file(file) if isinstance(file, str) else module.__name__ == "__main__"
