"""file_order: the order in which a folder's entries are listed."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pytest_repro.axes.base import REPLACED, AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.builtin_calls import real_function, redirected
from pytest_repro.axes.compiled_listings import noted_compiled_listings
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.started_programs import find_words, ignores_environment, is_python, noted_programs
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON
from pytest_repro.tracing.user_code import is_own_file
from pytest_repro.undisturbed import was_replaced

#: The functions that all Python code calls, and others with their original code.
_listdir, _scandir = os.listdir, os.scandir
_real_listdir, _real_scandir = real_function(_listdir), real_function(_scandir)
#: Folder of the `sitecustomize` that orders listings in started interpreters, and the variable that it reads.
_FOLDER = str(Path(__file__).with_name("in_started"))
_VARIABLE = "PYTEST_REPRO_FILE_ORDER"
#: Programs that list folders in the order of the file system.
_LISTERS = frozenset({"find", "fd", "fdfind", "rg", "ag", "grep", "egrep", "tar", "zip", "rsync", "du", "dir"})
_PYTEST = f"{os.sep}_pytest{os.sep}"
_AS_IT_IS = "as it is"


def _shuffle_key(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=8, key=b"pytest-repro").digest()


#: Order -> (sort key, reversed). Each depends on the names alone, so it is the same on every file system.
_ORDERS: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "sorted": (lambda name: name, False),
    "reversed": (lambda name: name, True),
    "shuffled": (_shuffle_key, False),
}


class FileOrderAxis(BuiltInAxis):
    """Redirects `os.listdir` and `os.scandir`, through which glob, pathlib, os.walk and shutil list.

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
        """Order every listing made through Python: in this process, its forks, and the interpreters that it starts."""
        variables = {_VARIABLE: value, "PYTHONPATH": _FOLDER} if isinstance(value, str) else {}
        _ways.begin()
        with noted_programs(variables) as _ways.commands, noted_compiled_listings(_ways.libraries):
            if not isinstance(value, str):
                yield
                return
            with _ordered(*_ORDERS[value]):
                yield

    def verify(self, value: JSON) -> Effect:
        """Read back the order of a folder that every interpreter has, and the ways to list that the axis did not reach.

        A test that lists only in a way out of reach gives no reading of the others: its result does not depend on them.
        """
        observed: dict[str, JSON] = dict.fromkeys(_ways.find_unreached(), _AS_IT_IS)
        problems = [(way, "lists in its own order") for way in observed]
        is_read = not observed or _ways.listed
        folder = os.path.dirname(os.__file__)  # noqa: PTH120 - a string, as most callers of listdir pass
        with _scandir(folder) as entries:
            names = [entry.name for entry in entries]
        for name, function, listing in (("listdir", _listdir, _listdir(folder)), ("scandir", _scandir, names)):
            if was_replaced(os, name, function):
                observed[f"os.{name}"] = REPLACED
                problems.append((f"os.{name}", REPLACED))
            elif is_read:
                text = "\0".join(listing).encode("utf-8", "surrogateescape")
                observed[f"os.{name}"] = hashlib.sha256(text).hexdigest()[:16]
        return Effect(self.name, value, observed, tuple(problems))

    def describe(self, value: JSON) -> str:
        return "listings as they are" if value is None else f"{value} listings"


class _Ways:
    """The ways in which the run in progress lists folders.

    Attributes
    ----------
    listed : bool
        Whether the user's code, or a library for it, has called `os.listdir` or `os.scandir` in this process.
    commands : list of list of str
        Programs that were started.
    libraries : set of str
        Compiled libraries that listed a folder by themselves.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.listed = False
        self.commands: list[list[str]] = []
        self.libraries: set[str] = set()

    def note_caller(self, file: str) -> None:
        """Note a listing by code of a file. The import system, pytest and this package list for themselves."""
        self.listed = self.listed or not (file.startswith("<frozen importlib") or is_own_file(file) or _PYTEST in file)

    def find_unreached(self) -> list[str]:
        """Return the ways whose order the axis did not decide."""
        found = [f"{os.path.basename(library)} itself" for library in sorted(self.libraries)]  # noqa: PTH119
        for command in self.commands:
            if is_python(command):
                if ignores_environment(command):
                    found.append("a Python interpreter that ignores PYTHONPATH or site")
                continue
            words = find_words(command)
            listers = [word for word in words if word in _LISTERS]
            if "ls" in words and re.search(r"(^|\s)-[a-zA-Z]*[Uf]", " ".join(command)):
                listers.append("ls -U")
            found += [f"the program {name}" for name in listers]
        return list(dict.fromkeys(found))


_ways = _Ways()


@contextmanager
def _ordered(key: Callable[[bytes], bytes], is_reversed: bool) -> Iterator[None]:
    def order(entries: list[Any], name: Callable[[Any], Any]) -> list[Any]:
        _ways.note_caller(sys._getframe(3).f_code.co_filename)
        return sorted(entries, key=lambda entry: key(os.fsencode(name(entry))), reverse=is_reversed)

    # The originals' signatures: path is positional or keyword, and may be a file descriptor.
    def listdir(path: Any = None) -> list[Any]:
        return order(_real_listdir(path), lambda entry: entry)

    def scandir(path: Any = None) -> OrderedScan:
        with _real_scandir(path) as entries:
            return OrderedScan(order(list(entries), lambda entry: entry.name))

    supported = os.supports_fd
    with redirected({_listdir: listdir, _scandir: scandir}):
        # Callers (`os.fwalk`, shutil) look the functions up before they pass a descriptor. Their hashes differ now.
        own: set[Any] = {_listdir, _scandir}
        added = own - supported
        supported.update(added)
        try:
            yield
        finally:
            supported.difference_update(added)


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
