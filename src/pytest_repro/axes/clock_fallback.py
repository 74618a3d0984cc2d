"""Shift of the clocks that Python code reads, without any package.

`datetime.datetime` itself is never replaced: pandas, imported later, relies on its C structure and crashes the
interpreter. The user's own modules get a subclass, under the names that they have bound. Libraries keep the real one.
"""

from __future__ import annotations

import copyreg
import datetime as real_datetime
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pytest_repro.axes.builtin_calls import real_function, redirected
from pytest_repro.tracing.user_code import is_user_file


@contextmanager
def shift_python_clocks(shift_s: float) -> Iterator[None]:
    """Shift `time.*` for everybody, and `datetime` and `date` in modules outside the installed packages.

    A module that is imported while the clocks are shifted sees `time.*` shifted and the real `datetime`.

    Parameters
    ----------
    shift_s : float
        Shift [s].
    """
    with redirected(_shift_time_functions(shift_s)), datetime_reads_time():
        yield


#: Functions of the module `time` that read the time of day.
_NAMES = ("time", "time_ns", "clock_gettime", "clock_gettime_ns", "localtime", "gmtime", "ctime", "asctime", "strftime")
_functions = {name: getattr(time, name) for name in _NAMES if hasattr(time, name)}
_reals = {name: real_function(function) for name, function in _functions.items()}


def _shift_time_functions(shift_s: float) -> dict[Callable[..., Any], Callable[..., Any]]:
    shift_ns = round(shift_s * 1e9)

    def of_now(name: str, position: int, now: Callable[[float], Any]) -> Callable[..., Any]:
        """Wrap a function whose missing time argument means "now", so that it gets the shifted now."""
        real = _reals[name]

        def shifted(*args: Any) -> Any:
            if len(args) > position and args[position] is not None:
                return real(*args)
            return real(*args[:position], now(_reals["time"]() + shift_s))

        return shifted

    def shift_of(clock: int, shift: float) -> float:
        return shift if clock == time.CLOCK_REALTIME else 0

    shifted: dict[str, Callable[..., Any]] = {
        "time": lambda: _reals["time"]() + shift_s,
        "time_ns": lambda: _reals["time_ns"]() + shift_ns,
        "clock_gettime": lambda clock: _reals["clock_gettime"](clock) + shift_of(clock, shift_s),
        "clock_gettime_ns": lambda clock: _reals["clock_gettime_ns"](clock) + shift_of(clock, shift_ns),
        **{name: of_now(name, 0, float) for name in ("localtime", "gmtime", "ctime")},
        "asctime": of_now("asctime", 0, _reals["localtime"]),
        "strftime": of_now("strftime", 1, _reals["localtime"]),
    }
    return {function: shifted[name] for name, function in _functions.items()}


class _LikeDate(type):
    """Metaclass that makes a real datetime an instance of the shifted class, so that isinstance still works."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


def _pickle_as_real(cls: type) -> tuple[Any, ...]:
    return pkgutil.resolve_name, (f"datetime:{cls.__mro__[1].__name__}",)


# A test may send its class to another process, which has the real one.
copyreg.pickle(_LikeDate, _pickle_as_real)


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


def _make_proxy() -> ModuleType:
    """Return a module like `datetime` that holds the shifted classes."""
    proxy = ModuleType("datetime", real_datetime.__doc__)
    vars(proxy).update({k: v for k, v in vars(real_datetime).items() if not k.startswith("__")})
    vars(proxy).update(datetime=ShiftedDatetime, date=ShiftedDate)
    return proxy


_REAL = (real_datetime, real_datetime.datetime, real_datetime.date)
#: What the contexts of :func:`datetime_reads_time` that are not left yet have put into modules.
_entered: list[tuple[object, ...]] = []


@contextmanager
def datetime_reads_time() -> Iterator[None]:
    """Give the user's own modules a `datetime` that reads `time.time`, also where that was replaced."""
    shifted = (_make_proxy(), ShiftedDatetime, ShiftedDate)
    _swap([module for module in list(sys.modules.values()) if _is_own(module)], _REAL, shifted)
    _entered.append(shifted)
    try:
        yield
    finally:
        _entered.remove(shifted)
        # In every module, since the test may have put them anywhere. An outer context still needs its own.
        _swap(list(sys.modules.values()), shifted[:1] if _entered else shifted, _REAL)


def _swap(modules: list[Any], found: tuple[Any, ...], instead: tuple[Any, ...]) -> None:
    for module in modules:
        if not issubclass(type(module), ModuleType) or module.__dict__.get("__name__") == __name__:
            continue
        for name, value in list(vars(module).items()):
            for old, new in zip(found, instead, strict=False):
                if value is old:
                    vars(module)[name] = new


def _is_own(module: Any) -> bool:
    if type(module) is not ModuleType or module.__name__.startswith("pytest_repro"):
        return False
    file = getattr(module, "__file__", None)
    return is_user_file(file) if isinstance(file, str) else module.__name__ == "__main__"
