"""The hidden conditions that record and pin sources, each applied in a child like an axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pytest_repro.axes.base import AxisContext, BuiltInAxis
from pytest_repro.model import JSON
from pytest_repro.sources import registry
from pytest_repro.sources.noted_calls import patch_noted_calls
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import AT, pinned_at
from pytest_repro.sources.started_interpreters import pinned_in_started


@contextmanager
def patched_sources(names: Iterable[str] = ()) -> Iterator[None]:
    """Have every source noted where the user's code reaches it, and pin those named.

    One set of replacements does both: the calls that are noted are exactly those that are pinned.
    """
    given = list(names)
    pins = registry.expand_pins(name.partition(AT)[0] for name in given)
    # A line of this process is none of another's.
    everywhere = registry.expand_pins(name for name in given if AT not in name)
    in_started = [source.name for source in registry.SOURCES if source.reaches_started and source.name in everywhere]
    with pinned_at(given), SourcePatches() as patches, pinned_in_started(in_started):
        for source in registry.SOURCES:
            source.patch(patches, pins)
        patch_noted_calls(patches)
        patches.finish()
        yield


class PatchedSources(BuiltInAxis):
    """Every source noted. The value lists those that are pinned."""

    name = "pin:sources"

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        with patched_sources(str(name) for name in (value if isinstance(value, list) else ())):
            yield


PATCHED = PatchedSources()


def find_pin(name: str) -> BuiltInAxis:
    """Return a hidden condition by its name."""
    pins = (PATCHED, *(source.pin for source in registry.SOURCES))
    return next(pin for pin in pins if pin is not None and pin.name == name)
