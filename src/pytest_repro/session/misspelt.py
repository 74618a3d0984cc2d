"""Markers whose name is a misspelling of ``reproducible``: their tests would pass without being checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import pytest

NAME = "reproducible"
#: Similarity of two names, as difflib counts it, from which one is taken for the other: two letters are wrong.
LIKE = 0.85
#: Names that mean the opposite, or that are words of their own next to it.
_OTHERS = ("ir", "un", "non", "not")
#: Tests that a message names.
MAX_TESTS = 3


def is_misspelling(name: str) -> bool:
    """Return whether a marker's name is meant to be `reproducible`."""
    plain = name.lower().replace("_", "")
    if name == NAME or plain.startswith(_OTHERS) or (NAME in plain and plain != NAME):
        return False
    if plain == "repro" or plain.startswith(("reproducib", "reproducab")):
        return True
    return difflib.SequenceMatcher(None, NAME, plain, autojunk=False).ratio() >= LIKE


def describe_misspelt(config: pytest.Config, marked: Iterable[tuple[str, str]]) -> list[str]:
    """Describe the misspelt markers among pairs of a marker's name and a test's, and propose the right one.

    A name that is registered is another plugin's, or the project's own, and no misspelling.
    """
    tests: dict[str, list[str]] = {}
    for name, nodeid in marked:
        tests.setdefault(name, []).append(nodeid)
    registered = {str(line).partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")}
    return [
        _describe(name, nodeids) for name, nodeids in tests.items() if name not in registered and is_misspelling(name)
    ]


def _describe(name: str, nodeids: list[str]) -> str:
    more = f" and {len(nodeids) - MAX_TESTS} more" if len(nodeids) > MAX_TESTS else ""
    return (
        f"{', '.join(nodeids[:MAX_TESTS])}{more}: no plugin knows the marker {name!r}, so nothing would be checked. "
        f"Write @pytest.mark.{NAME}, or add {name!r} to `markers` in pytest's configuration if it is another marker"
    )
