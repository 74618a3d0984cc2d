"""The warnings of a child, passed to the user's session as text, in bounded number and without duplicates."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import pytest

#: A test can warn without end, and a user reads the first warnings.
MAX_WARNINGS = 100
MAX_CHARACTERS = 2000


def describe_warning(message: warnings.WarningMessage) -> dict[str, Any]:
    """Return a warning as JSON."""
    return {
        "text": str(message.message)[:MAX_CHARACTERS],
        "category": message.category.__name__,
        "filename": message.filename,
        "lineno": message.lineno,
    }


class WarningRelay:
    """Passes the warnings of a test's runs to pytest, each once.

    Parameters
    ----------
    item : pytest.Item
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._seen: set[tuple[object, ...]] = set()

    def publish(self, described: list[dict[str, Any]]) -> None:
        """Publish the new ones as pytest would have recorded them here.

        Without the filters: the child has applied them already, with the test's own.
        """
        for entry in described:
            key = tuple(entry.values())
            if key in self._seen:
                continue
            self._seen.add(key)
            category = _find_category(entry["category"])
            text = entry["text"] if category.__name__ == entry["category"] else f"{entry['category']}: {entry['text']}"
            message = warnings.WarningMessage(category(text), category, entry["filename"], entry["lineno"])
            self._item.ihook.pytest_warning_recorded.call_historic(
                kwargs={
                    "warning_message": message,
                    "nodeid": self._item.nodeid,
                    "when": "runtest",
                    "location": None,
                }
            )


def _find_category(name: str) -> type[Warning]:
    """Return a built-in category or one of pytest. Any other class may be missing here, or not constructible."""
    for home in (builtins, pytest):
        found = getattr(home, name, None)
        if isinstance(found, type) and issubclass(found, Warning):
            return found
    return UserWarning
