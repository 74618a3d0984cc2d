"""The order of listings in an interpreter that a run starts, read from a variable when that interpreter begins.

Standard library only, and nothing of this package: the interpreter belongs to the user's code, and may be another one.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

_ORDER = os.environ.get("PYTEST_REPRO_FILE_ORDER", "")
_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes long to import
_system: Any = sys.modules[os.listdir.__module__]


def _key(name: Any) -> bytes:
    # As in pytest_repro.axes.file_order, which cannot be imported here.
    encoded = os.fsencode(name)
    if _ORDER != "shuffled":
        return encoded
    return hashlib.blake2b(encoded, digest_size=8, key=b"pytest-repro").digest()


class _Scan:
    """Entries of a folder in the chosen order, as what `os.scandir` returns."""

    def __init__(self, entries: Any) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> _Scan:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


def _order() -> None:
    real_listdir, real_scandir = os.listdir, os.scandir

    def listdir(path: Any = None) -> list[Any]:
        return sorted(real_listdir(path), key=_key, reverse=_ORDER == "reversed")

    def scandir(path: Any = None) -> _Scan:
        with real_scandir(path) as entries:
            return _Scan(sorted(entries, key=lambda entry: _key(entry.name), reverse=_ORDER == "reversed"))

    for real, function in ((real_listdir, listdir), (real_scandir, scandir)):
        # Under the name of the real one, by which pickle finds it.
        function.__module__, function.__qualname__ = real.__module__, real.__qualname__
        if real in os.supports_fd:
            os.supports_fd.add(function)
        for module in (os, _system):
            setattr(module, real.__name__, function)


if _ORDER in ("sorted", "reversed", "shuffled"):
    _order()

# Load the other module of this name that this one hides.
sys.path[:] = [entry for entry in sys.path if entry != _FOLDER]
_other = PathFinder.find_spec("sitecustomize")
if _other is not None and _other.loader is not None:
    _other.loader.exec_module(module_from_spec(_other))
