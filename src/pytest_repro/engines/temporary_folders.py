"""The session's temporary folders, which each run of a test is to find as its first run did."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from _pytest.pathlib import rm_rf

#: End of the name of the link to the latest folder of a name, which pytest makes.
_LATEST = "current"
_MODE = 0o700


def find_base(config: pytest.Config) -> Path | None:
    """Return the folder in which pytest makes the session's temporary folders, once it exists."""
    return getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None)


class TemporaryFolders:
    """Gives every run of a test in this process the folders that pytest gave to its first run.

    pytest numbers the folders of `tmp_path` and ``tmp_path_factory.mktemp`` for the length of a session, so that a
    second run would get other names, and would fail where it asks for a folder without a number. Here the nth folder
    of a name is in each run the same path, and empty. What a run put into the base folder by itself is moved aside
    for the next run, and comes back after the last one unless that run made it again.

    Folders of fixtures that outlive the test stay. So does a folder of an earlier run for which the next run does not
    ask, since an object that outlives the test may have asked for it once for all.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._factory: Any = getattr(config, "_tmp_path_factory", None)
        self._before = self._list()
        self._made: dict[tuple[str, bool], list[str]] = defaultdict(list)
        self._taken: dict[tuple[str, bool], int] = defaultdict(int)
        self._is_first = True
        self._outliving = 0
        self._aside: Path | None = None
        if self._factory is not None:
            self._original = self._factory.mktemp
            self._factory.mktemp = self._make

    @property
    def base(self) -> Path | None:
        """The base folder, once it exists."""
        return find_base(self._config)

    def begin_repeat(self) -> None:
        """Prepare for another run."""
        self._is_first = False
        self._taken.clear()
        base = self.base
        if base is None:
            return
        made = {name for names in self._made.values() for name in names}
        for name in self._list() - self._before - made:
            if not (name.endswith(_LATEST) and (base / name).is_symlink()):
                self._move_aside(base / name)

    def keep_all(self) -> None:
        """Keep what there is for all repeats to come, as where the body of a test is repeated without its fixtures."""
        self._before |= self._list()
        self._made.clear()
        self._taken.clear()

    @contextmanager
    def outliving(self) -> Iterator[None]:
        """Keep what is made within the context for the runs to come."""
        before = self._list()
        self._outliving += 1
        try:
            yield
        finally:
            self._outliving -= 1
            self._before |= self._list() - before

    def close(self) -> None:
        """Leave the factory as it was, and bring back what was moved aside and not made again."""
        if self._factory is not None:
            self._factory.__dict__.pop("mktemp", None)
        if self._aside is None or self.base is None:
            return
        for path in list(self._aside.iterdir()):
            with contextlib.suppress(OSError):
                if not (self.base / path.name).exists():
                    path.rename(self.base / path.name)
        shutil.rmtree(self._aside, ignore_errors=True)

    def _list(self) -> set[str]:
        base = self.base
        try:
            return set() if base is None else set(os.listdir(base))  # noqa: PTH208 - names alone, of many
        except OSError:
            return set()

    def _make(self, basename: str, numbered: bool = True) -> Path:
        """Make a folder in place of ``mktemp``."""
        key = basename, numbered
        if self._outliving:
            return self._original(basename, numbered)  # type: ignore[no-any-return]
        names, index = self._made[key], self._taken[key]
        self._taken[key] += 1
        if self._is_first or index >= len(names) or self.base is None:
            if not numbered:
                self._clear(basename)
            path: Path = self._original(basename, numbered)
            names.append(path.name)
            return path
        name = names[index]
        self._clear(name)
        path = self.base / name
        path.mkdir(mode=_MODE)
        if numbered:
            self._link_latest(f"{basename}{_LATEST}", path)
        return path

    def _clear(self, name: str) -> None:
        """Remove a folder of an earlier run."""
        base = self.base
        if base is not None and not self._is_first and name not in self._before and (base / name).is_dir():
            rm_rf(base / name)

    def _link_latest(self, name: str, path: Path) -> None:
        link = path.with_name(name)
        with contextlib.suppress(OSError):
            link.unlink(missing_ok=True)
            link.symlink_to(path)

    def _move_aside(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if self._aside is None:
                # In the same file system, where a file that is still open stays the same file.
                self._aside = Path(tempfile.mkdtemp(prefix="pytest-repro-", dir=path.parent.parent))
            path.rename(self._aside / path.name)


class DrawnNames:
    """The names that :mod:`tempfile` draws within a context, which differ in every run."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._names: Any = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note each name that is drawn from now on."""
        module: Any = tempfile
        self._names = module._name_sequence
        module._name_sequence = self
        try:
            yield
        finally:
            if module._name_sequence is self:
                module._name_sequence = self._names

    def __iter__(self) -> DrawnNames:
        return self

    def __next__(self) -> str:
        if self._names is None:
            # Not before the first draw: a generator that no one uses would count as a source of entropy.
            self._names = tempfile._RandomNameSequence()  # type: ignore[attr-defined]
        name: str = next(self._names)
        self.names.add(name)
        return name
