"""timezone: TZ, which decides local times, features made of hours, and `datetime.fromtimestamp`."""

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
from pytest_repro.axes.patches import set_variables
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: UTC, a zone west of Greenwich with summer time, and one east of it with an offset of 5 h 45 min.
_PREFERRED = ("UTC", "America/New_York", "Asia/Kathmandu")
#: The same as rules, which the C library reads without a time zone database.
_RULES = ("UTC0", "EST5EDT,M3.2.0,M11.1.0", "<+0545>-5:45")

_RULE = re.compile(
    r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d{1,3}(?::\d\d){0,2}(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)?.*"
)

#: Noon at the start of each quarter of 2024 [s since 1970], since zones may differ in summer only.
_PROBES = (1_704_110_400, 1_711_972_800, 1_719_835_200, 1_727_784_000)


class TimezoneAxis(BuiltInAxis):
    """Sets TZ and makes the C library read it immediately, so that every engine can vary it."""

    name: ClassVar[str] = "timezone"
    variables: ClassVar[tuple[str, ...]] = ("TZ",)

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return UTC, a zone behind it with summer time, and one ahead by 5 h 45 min."""
        return list(_PREFERRED if all(_is_in_database(zone) for zone in _PREFERRED) else _RULES)

    def unavailable(self, machine: Machine) -> str | None:
        return None if hasattr(time, "tzset") else "this platform has no time.tzset"

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Reject a zone that the C library would silently read as UTC."""
        if isinstance(value, str) and (_is_in_database(value) or _RULE.fullmatch(value)):
            return None
        return "the time zone database of this machine lacks it (Debian's package tzdata has it)"

    def validate(self, value: JSON) -> None:
        if not isinstance(value, str) or not value:
            raise UsageError(f"timezone must be the name of a time zone, such as 'Asia/Tokyo', got {value!r}")
        if _is_in_database(value) or _RULE.fullmatch(value):
            return
        names = _known_zones()
        if value in names or not names:
            return
        close = difflib.get_close_matches(value, names, n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else "write a name such as 'Asia/Tokyo' or a rule such as 'EST5EDT'"
        )
        raise UsageError(f"timezone: no database has a time zone {value!r}; {hint}")

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return TZ, for code that reads the local time at its start."""
        return {} if value is None else {"TZ": str(value)}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        try:
            with set_variables(self.environment(value)):
                time.tzset()
                yield
        finally:
            time.tzset()

    def verify(self, value: JSON) -> Effect:
        """Read back the local times of four fixed points in time."""
        local: list[JSON] = [time.strftime("%Y-%m-%dT%H:%M%z", time.localtime(moment)) for moment in _PROBES]
        return Effect(self.name, value, {"localtime": local})

    def describe(self, value: JSON) -> str:
        return "TZ as is" if value is None else f"TZ={value}"


def _is_in_database(zone: str) -> bool:
    # The C library searches the system's files only, never those of PyPI's tzdata.
    folders = zoneinfo.TZPATH or ("/usr/share/zoneinfo",)
    return ".." not in zone and not zone.startswith("/") and any((Path(folder) / zone).is_file() for folder in folders)


@functools.cache
def _known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


AXIS = TimezoneAxis()
