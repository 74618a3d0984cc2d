"""The modules and sources that a run loaded by itself, which the fork server can load before the next run."""

from __future__ import annotations

import importlib
import itertools
import linecache
import os
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from pytest_repro.tracing.user_code import is_user_file

#: Folders of installed packages. Modules of the user's own project are imported by each run that needs them.
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
#: Not imported in the server, since its import starts processes.
_NOT_LEARNT = ("torch._inductor",)
#: The plugin itself sets variables to vary them, and pytest on behalf of the test.
_OURS, _OF_PYTEST = "pytest_repro.", "_pytest."
#: Bound on the sources that are read ahead, of those that a run has read for tracebacks.
_MAX_SOURCES = 200


class ImportedModules:
    """Watches the imports of a run that begins now in this process.

    The imports of a test may depend on its earlier actions. If it changed an environment variable or the search path,
    nothing is learnt from it. Packages that set variables of their own at their import do not count.
    """

    def __init__(self) -> None:
        self._is_trusted = True
        self.renew()
        # The functions that os.environ calls, looked up in the module at each change.
        module: Any = os
        module.putenv, module.unsetenv = self._watched(os.putenv), self._watched(os.unsetenv)

    def renew(self) -> None:
        """Watch another run of the same process, which is not trusted if an earlier one was not."""
        # Their number and not their names: reading each would copy the pages that a fork shares with its server.
        self._count = len(sys.modules)
        self._source_count = len(linecache.cache)
        self._path = tuple(sys.path)
        self._has_ended_well = False

    def _watched(self, function: Callable[..., None]) -> Callable[..., None]:
        def change(name: Any, *text: Any) -> None:
            function(name, *text)
            if not os.fsdecode(name).startswith("PYTEST_") and not _is_of_a_package(sys._getframe(1)):
                self._is_trusted = False

        return change

    def note_end(self) -> None:
        """Note the end of the test function, before its fixtures undo their changes."""
        self._has_ended_well = self._path == tuple(sys.path)

    def find_new(self) -> list[str]:
        """Return the installed modules that were imported since, in order of import."""
        if not (self._is_trusted and self._has_ended_well):
            return []
        newest = list(itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - self._count)))
        return [name for name in reversed(newest) if _may_be_learnt(name)]

    def find_new_sources(self) -> list[str]:
        """Return the files whose lines the run has read: ``torch.manual_seed`` alone formats three tracebacks."""
        newest = itertools.islice(reversed(linecache.cache), max(0, len(linecache.cache) - self._source_count))
        return [name for name in newest if os.path.isabs(name)][:_MAX_SOURCES]  # noqa: PTH117 - costs less


def _is_of_a_package(frame: FrameType | None) -> bool:
    """Return whether a variable was changed by an installed package, and not by the test or on its behalf."""
    while frame is not None and frame.f_globals.get("__name__") in ("os", "_collections_abc", "collections.abc"):
        frame = frame.f_back
    name = frame.f_globals.get("__name__", "") if frame is not None else ""
    if name.startswith(_OURS):
        return True
    file = frame.f_code.co_filename if frame is not None else ""
    return not name.startswith(_OF_PYTEST) and any(part in file for part in _INSTALLED)


def _may_be_learnt(name: str) -> bool:
    if name.startswith(_NOT_LEARNT):
        return False
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or spec.name != name:
        return False
    origin = spec.origin or ""
    return name.startswith(_OURS) or (any(part in origin for part in _INSTALLED) and not is_user_file(origin))


def read_sources(names: Iterable[str]) -> None:
    """Cache the lines of files for :mod:`traceback`, which checks by itself whether they have changed."""
    for name in names:
        linecache.getlines(name)


def import_modules(names: Iterable[str]) -> None:
    """Import the modules that can be imported. The runs that need the others import them."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            continue
