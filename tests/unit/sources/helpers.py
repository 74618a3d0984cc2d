"""Shared by the tests of sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_repro.sources import registry
from pytest_repro.sources.sightings import Sightings, collect_into

#: Source of functions that draw: one draws until a number suits it.
DRAWING = """
import random, secrets

def once():
    return secrets.randbelow(2**40 + 1)

def draw():
    return random.Random().random()

def until_it_suits():
    drawn = [draw()]
    while drawn[-1] > 0.1:
        drawn.append(draw())
    return drawn
"""


@contextmanager
def recorded() -> Iterator[Sightings]:
    """Collect sightings for the time of a block."""
    seen = Sightings()
    collect_into(seen)
    try:
        yield seen
    finally:
        collect_into(None)


def begin_repetition() -> None:
    """Begin a repetition, as a child does before each of its runs."""
    for source in registry.SOURCES:
        source.begin_repetition()
