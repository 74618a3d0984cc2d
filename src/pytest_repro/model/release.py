"""The release of this package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Return the release, or ``unknown`` for a copy that was brought to another environment and not installed there."""
    try:
        return version("pytest-repro")
    except PackageNotFoundError:
        return "unknown"
