"""timezone: TZ, for local times, hour features and anything that calls `datetime.fromtimestamp`."""

from __future__ import annotations

import difflib
import functools
import re
import time
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.variables import set_variables
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: West of Greenwich with summer time, and east with an offset that is no whole hour.
_PREFERRED = ("UTC", "America/New_York", "Asia/Kathmandu")
#: The same without a time zone database: the C library reads such rules itself.
_RULES = ("UTC0", "EST5EDT,M3.2.0,M11.1.0", "<+0545>-5:45")

_RULE = re.compile(
    r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d{1,3}(?::\d\d){0,2}(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)?.*"
)

#: Noon at the start of each quarter of 2024 [s since 1970]: tells zones apart that agree in winter.
_PROBES = (1_704_110_400, 1_711_972_800, 1_719_835_200, 1_727_784_000)


class TimezoneAxis(BuiltInAxis):
    """Sets TZ and tells the C library at once, so that every engine can vary it."""

    name: ClassVar[str] = "timezone"
    variables: ClassVar[tuple[str, ...]] = ("TZ",)

    def default_values(self, machine: Machine) -> list[JSON]:
        """UTC, one zone behind it with summer time, one ahead by 5 h 45 min."""
        return list(_PREFERRED if all(_is_in_database(zone) for zone in _PREFERRED) else _RULES)

    def unavailable(self, machine: Machine) -> str | None:
        """Needs `time.tzset`, which Windows lacks."""
        return None if hasattr(time, "tzset") else "this platform has no time.tzset"

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Refuse a zone that the C library would silently read as UTC."""
        if isinstance(value, str) and (_is_in_database(value) or _RULE.fullmatch(value)):
            return None
        return "the time zone database of this machine lacks it (Debian's package tzdata has it)"

    def validate(self, value: JSON) -> None:
        """Take a zone that some database knows, or a POSIX rule."""
        if not isinstance(value, str) or not value:
            raise UsageError(f"timezone: {value!r} is no name of a time zone, such as 'Asia/Tokyo'")
        if _is_in_database(value) or _RULE.fullmatch(value):
            return
        names = _known_zones()
        if value in names or not names:
            return
        close = difflib.get_close_matches(value, names, n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else "write a name such as 'Asia/Tokyo' or a rule such as 'EST5EDT'"
        )
        raise UsageError(f"timezone: no time zone is called {value!r}; {hint}")

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Set TZ before anything reads the local time."""
        return {} if value is None else {"TZ": str(value)}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Set TZ and have the C library read it."""
        try:
            with set_variables(self.environment(value)):
                time.tzset()
                yield
        finally:
            time.tzset()

    def verify(self, value: JSON) -> Effect:
        """Read back the local times of four fixed moments."""
        local: list[JSON] = [time.strftime("%Y-%m-%dT%H:%M%z", time.localtime(moment)) for moment in _PROBES]
        return Effect(self.name, value, {"localtime": local})

    def describe(self, value: JSON) -> str:
        """Name the variable."""
        return "TZ as is" if value is None else f"TZ={value}"


def _is_in_database(zone: str) -> bool:
    """Tell whether the C library finds the zone: it looks into the system's files only, never into PyPI's tzdata."""
    folders = zoneinfo.TZPATH or ("/usr/share/zoneinfo",)
    return ".." not in zone and not zone.startswith("/") and any((Path(folder) / zone).is_file() for folder in folders)


@functools.cache
def _known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


AXIS = TimezoneAxis()
