"""When a session started, and the release that ran it, as reports have them."""

from __future__ import annotations

import datetime
from importlib.metadata import version


def own_version() -> str:
    """Return the release of this package."""
    return version("pytest-repro")


def say_time(seconds: float) -> str:
    """Return a time since 1970 [s] in UTC, by ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
