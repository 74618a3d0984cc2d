"""file_order: the order in which a folder's entries are listed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.patches import replace_everywhere
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

_real_listdir = os.listdir
_real_scandir = os.scandir


def _shuffle_key(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=8, key=b"pytest-repro").digest()


#: Order -> (sort key, reversed). Each depends on the names alone, so it is the same on every file system.
_ORDERS: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "sorted": (lambda name: name, False),
    "reversed": (lambda name: name, True),
    "shuffled": (_shuffle_key, False),
}


class FileOrderAxis(BuiltInAxis):
    """Replaces `os.listdir` and `os.scandir`, through which glob, pathlib, os.walk and shutil list.

    The default baseline is sorted and the next value its reverse, so two orders differ for any folder with two entries.
    "As it is" and "shuffled" would be identical by chance for half of the folders with two.
    """

    name: ClassVar[str] = "file_order"

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return the sorted order, its reverse, and a fixed shuffle."""
        return list(_ORDERS)

    def validate(self, value: JSON) -> None:
        if not isinstance(value, str) or value not in _ORDERS:
            raise UsageError(
                f"file_order must be {', '.join(map(repr, _ORDERS))}, or None for the order as it is, got {value!r}"
            )

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Order every listing made through Python in this process."""
        if not isinstance(value, str):
            yield
            return
        key, is_reversed = _ORDERS[value]

        def order(entries: list[Any], name: Callable[[Any], Any]) -> list[Any]:
            return sorted(entries, key=lambda entry: key(os.fsencode(name(entry))), reverse=is_reversed)

        # The originals' signatures: path is positional or keyword, and may be a file descriptor.
        def listdir(path: Any = None) -> list[Any]:
            return order(_real_listdir(path), lambda entry: entry)

        def scandir(path: Any = None) -> OrderedScan:
            with _real_scandir(path) as entries:
                return OrderedScan(order(list(entries), lambda entry: entry.name))

        swaps: dict[int, tuple[Any, Any]] = {
            id(_real_listdir): (_real_listdir, listdir),
            id(_real_scandir): (_real_scandir, scandir),
        }
        # Callers (`os.fwalk`, shutil) look the function up in `os.supports_fd` before they pass a descriptor.
        os.supports_fd.update({listdir, scandir})
        try:
            with replace_everywhere(swaps):
                yield
        finally:
            os.supports_fd.difference_update({listdir, scandir})

    def verify(self, value: JSON) -> Effect:
        """Read back the order of a folder that every interpreter has."""
        folder = os.path.dirname(os.__file__)  # noqa: PTH120 - a string, as most callers of listdir pass
        observed: dict[str, JSON] = {}
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
        for component, listing in (("os.listdir", os.listdir(folder)), ("os.scandir", names)):  # noqa: PTH208
            observed[component] = hashlib.sha256("\0".join(listing).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        undone = isinstance(value, str) and os.listdir is _real_listdir
        return Effect(self.name, value, observed, (("os.listdir", "the run replaced it"),) if undone else ())

    def describe(self, value: JSON) -> str:
        return "listings as they are" if value is None else f"{value} listings"


class OrderedScan:
    """Entries of a folder in a chosen order, as the iterator and context manager that `os.scandir` returns."""

    def __init__(self, entries: list[os.DirEntry[Any]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> OrderedScan:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def __enter__(self) -> OrderedScan:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


AXIS = FileOrderAxis()
