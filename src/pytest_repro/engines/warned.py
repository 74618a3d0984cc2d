"""Warnings on their way from a child to the session that the user looks at: as text, bounded, told once."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import pytest

#: A test in a loop can warn without end; what a user reads is the first ones.
MAX_WARNINGS = 100
MAX_CHARACTERS = 2000


def describe_warning(message: warnings.WarningMessage) -> dict[str, Any]:
    """Return a warning as JSON carries it."""
    return {
        "text": str(message.message)[:MAX_CHARACTERS],
        "category": message.category.__name__,
        "filename": message.filename,
        "lineno": message.lineno,
    }


class WarningRelay:
    """Hands the warnings of a test's runs to pytest, each once.

    Parameters
    ----------
    item : pytest.Item
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._told: set[tuple[object, ...]] = set()

    def tell(self, described: list[dict[str, Any]]) -> None:
        """Hand on what was not told yet, as pytest would have recorded it here.

        Past the filters: those decided in the child already, with the test's own among them.
        """
        for entry in described:
            key = tuple(entry.values())
            if key in self._told:
                continue
            self._told.add(key)
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
    """Return a built-in or pytest's own category; a class of the user's may not exist or be buildable here."""
    for home in (builtins, pytest):
        found = getattr(home, name, None)
        if isinstance(found, type) and issubclass(found, Warning):
            return found
    return UserWarning
