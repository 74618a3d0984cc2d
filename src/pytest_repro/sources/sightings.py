"""Sightings: the sources that a run reached, each at the user's line that reached it. Bounded in number."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pytest_repro.model import JSON
from pytest_repro.sources.frames import find_library, find_user_frame, site_of

#: Distinct places kept.
MAX_SITES = 200
#: Lock held across every fork, so that no child inherits it locked by a thread that it does not have. Reentrant, and
#: never replaced in the child: `random` draws there before the callbacks registered here are called.
FORK_LOCK = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release)

Site = tuple[str, int, str]


class Sightings:
    """Counts of (kind, detail, place) in the order of their first sighting.

    A place is the innermost line of the user's own code on the way to the source.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, Site]] = Counter()
        self._libraries: dict[tuple[str, str, Site], str] = {}

    def note(self, kind: str, detail: str = "", library: str = "") -> Site | None:
        """Note that the code above the caller reached a source, if one of its frames is the user's code.

        Parameters
        ----------
        kind, detail : str
        library : str
            The compiled library whose code it is; used where no library has a frame.
        """
        frame = find_user_frame()
        if frame is None:
            return None
        site = site_of(frame)
        key = (kind, detail[:200], site)
        library = find_library(frame) or library
        with FORK_LOCK:
            if key in self._counts or len(self._counts) < MAX_SITES:
                self._counts[key] += 1
                self._libraries.setdefault(key, library[:80])
        return site

    def to_json(self) -> list[JSON]:
        """Return the sightings as an answer holds them."""
        return [
            {
                "kind": kind,
                "detail": detail,
                "file": file,
                "line": line,
                "function": function,
                "count": count,
                "library": self._libraries[kind, detail, (file, line, function)],
            }
            for (kind, detail, (file, line, function)), count in self._counts.items()
        ]


#: Between a source's name and the only line at which it is pinned: ``entropy@/path/to/file.py:12``.
AT = "@"
#: Source -> the only lines at which it is pinned, as ``/path/to/file.py:12``. Without an entry it is pinned at all.
_pinned_at: dict[str, set[str]] = {}
_active: Sightings | None = None


def collect_into(sightings: Sightings | None) -> None:
    """Have sources noted there from now on."""
    global _active
    _active = sightings


def note(kind: str, detail: str = "", library: str = "") -> Site | None:
    """Note a source if sightings are collected, and return the user's line either way."""
    if _active is not None:
        return _active.note(kind, detail, library)
    frame = find_user_frame()
    return None if frame is None else site_of(frame)


@contextmanager
def pinned_at(names: Iterable[str]) -> Iterator[None]:
    """Pin the sources among these that have a line only there, within the block."""
    before = dict(_pinned_at)
    for name in names:
        source, at, place = name.partition(AT)
        if at:
            _pinned_at.setdefault(source, set()).add(place)
    try:
        yield
    finally:
        _pinned_at.clear()
        _pinned_at.update(before)


def is_pinned_at(source: str, site: Site) -> bool:
    """Return whether a pinned source is pinned at a line of the user's code, too."""
    places = _pinned_at.get(source)
    return places is None or f"{site[0]}:{site[1]}" in places


def lines_of(source: str) -> frozenset[str]:
    """Return the lines at which alone a source is pinned, as ``/path/to/file.py:12``."""
    return frozenset(_pinned_at.get(source, ()))
