"""Listings of folders by compiled libraries, which no axis can order: noted, so that a report tells them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Folders that describe the machine and the process, which runtimes list to count cores and threads.
_MACHINE = (b"/proc", b"/sys", b"/dev")


@contextmanager
def noted_compiled_listings(found: set[str]) -> Iterator[None]:
    """Add the paths of the libraries loaded now that list a folder by C's `opendir`. Linux only."""
    from pytest_repro.axes.compiled_calls import is_library, replaced_calls  # which imports NumPy

    def opendir(path: str, real: Any) -> Callable[..., Any]:
        def call(name: bytes | None) -> int | None:
            if name is not None and not name.startswith(_MACHINE):
                found.add(path)
            opened: int | None = real(name)
            return opened

        return call

    with replaced_calls({"opendir": opendir}, is_library) if os.name == "posix" else _nothing():
        yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield
