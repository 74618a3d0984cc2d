"""Sources noted and pinned while a fresh interpreter imports the user's modules, before its run begins.

Forks of one process share what its modules drew when they were imported, so only a fresh interpreter shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack

from pytest_repro import seeding
from pytest_repro.sources import registry
from pytest_repro.sources.base import Sighting
from pytest_repro.sources.entropy import Entropy
from pytest_repro.sources.pins import patched_sources
from pytest_repro.sources.sightings import Sightings, collect_into
from pytest_repro.sources.traced_calls import read_generators

#: Seed of the global generators where entropy is pinned: an interpreter seeds them from it when it starts.
_SEED = 0
#: Detail of a sighting of a global generator that nobody seeded before a module drew from it.
UNSEEDED = "global generators, which nothing seeds before modules are imported"


class ImportProbe:
    """Notes and pins sources from the start of an interpreter until its run begins.

    Parameters
    ----------
    pins : iterable of str
    watched : context manager
        Watches the statements of the user's modules, or does nothing.
    """

    def __init__(self, pins: Iterable[str], watched: AbstractContextManager[None]) -> None:
        names = list(pins)
        self._sightings = Sightings()
        self._contexts = ExitStack()
        collect_into(self._sightings)
        for source in registry.SOURCES:
            source.begin_repetition()
        self._contexts.enter_context(patched_sources(names))
        if Entropy.name in names:
            self._contexts.enter_context(seeding.seeds_on_import(_SEED))
            seeding.seed_everything(_SEED)
        self._before = read_generators()
        self._contexts.enter_context(watched)

    def finish(self) -> list[Sighting]:
        """Undo all of it, and return the sightings."""
        self._contexts.close()
        collect_into(None)
        found: list[Sighting] = [entry for entry in self._sightings.to_json() if isinstance(entry, dict)]
        if read_generators() != self._before:
            # Its line is not known here. The traces of two interpreters show it.
            found.append(_sighting_without_place(Entropy.kinds[0], UNSEEDED))
        return found


def _sighting_without_place(kind: str, detail: str) -> Sighting:
    place: Sighting = {"file": "", "line": 0, "function": "", "library": ""}
    return {"kind": kind, "detail": detail, "count": 1, **place}
