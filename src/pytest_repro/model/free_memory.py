"""The memory that the system has left."""

from __future__ import annotations

from pathlib import Path


def read_free_kib() -> int | None:
    """Return the memory that is free [KiB], or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
