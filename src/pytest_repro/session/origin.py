"""When a session started, as reports have it."""

from __future__ import annotations

import datetime


def say_time(seconds: float) -> str:
    """Return a time since 1970 [s] in UTC, by ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
