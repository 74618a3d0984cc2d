"""Reach into a framework now if it is loaded, else as soon as the run has imported it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_repro.frameworks.base_state import StateAdapter
from pytest_repro.seeding.imports import when_imported


@contextmanager
def once_loaded(name: str, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` once, when the framework of that name is there; not at all if it is never imported."""
    if name in sys.modules:
        act()
        yield
        return

    def listen(adapter: StateAdapter) -> None:
        if adapter.__name__.rpartition(".")[2] == f"{name}_state":
            act()

    with when_imported(listen):
        yield
