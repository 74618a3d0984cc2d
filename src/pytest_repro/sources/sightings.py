"""What was seen while a test ran: sources of irreproducibility, at the user's line that reached them. Bounded."""

from __future__ import annotations

from collections import Counter

from pytest_repro.model import JSON
from pytest_repro.sources.fork_lock import FORK_LOCK
from pytest_repro.sources.frames import find_library, find_user_frame, site_of

#: Distinct places kept.
MAX_SITES = 200

Site = tuple[str, int, str]


class Sightings:
    """Counts (kind, detail, place); the first of each kind stand first.

    A place is the innermost line of the user's own code on the way to the source.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, Site]] = Counter()
        self._libraries: dict[tuple[str, str, Site], str] = {}

    def note(self, kind: str, detail: str = "", library: str = "") -> Site | None:
        """Note that the code above the caller reached a source; nothing where no frame is the user's.

        Parameters
        ----------
        kind, detail : str
        library : str
            In whose code, where that has no frames; else it is told by the frames.
        """
        frame = find_user_frame()
        if frame is None:
            return None
        site = site_of(frame)
        self.note_at(kind, detail, site, find_library(frame) or library)
        return site

    def note_at(self, kind: str, detail: str, site: Site, library: str = "") -> None:
        """Note a source at a known place."""
        key = (kind, detail[:200], site)
        with FORK_LOCK:
            if key in self._counts or len(self._counts) < MAX_SITES:
                self._counts[key] += 1
                self._libraries.setdefault(key, library[:80])

    def to_json(self) -> list[JSON]:
        """Return what was seen in the order of its first sight."""
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


_active: Sightings | None = None


def active() -> Sightings | None:
    """Return what collects at present."""
    return _active


def collect_into(sightings: Sightings | None) -> None:
    """Have sources noted from now on."""
    global _active
    _active = sightings


def note(kind: str, detail: str = "", library: str = "") -> Site | None:
    """Note a source if anything collects; return the user's line either way."""
    if _active is not None:
        return _active.note(kind, detail, library)
    frame = find_user_frame()
    return None if frame is None else site_of(frame)
