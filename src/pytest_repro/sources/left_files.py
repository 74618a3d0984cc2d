"""Files that an earlier run left: noted where the user's code finds them, and pinned by moving them aside."""

from __future__ import annotations

import math
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import EventHandler, Sighting, Situation, Source
from pytest_repro.sources.sightings import note

#: Files moved aside at most: a test's cache or checkpoint has fewer, and moving them takes time.
MAX_FILES = 50
#: Files that Python and numba themselves read and write during a run.
_COMPILED = (".py", ".pyc", ".pyi", ".so", ".nbi", ".nbc")

_since = math.inf
_written: set[str] = set()


def _note_open(event: str, args: tuple[Any, ...]) -> None:
    """Take the event that the interpreter raises before it opens a file."""
    path, _, flags = args[:3]
    if _since is math.inf or not isinstance(path, (str, bytes)) or not isinstance(flags, int):
        return
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - asks nothing of the file system
    if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        note_found(name)
        return
    # Opened to be appended to, a file decides as much as one that is read.
    if not flags & (os.O_TRUNC | os.O_EXCL):
        note_found(name)
    _written.add(name)


def _note_connect(event: str, args: tuple[Any, ...]) -> None:
    note_found(args[0])


class LeftFiles(Source):
    """Regular files written since the session began. Older files belong to the user, and are never moved."""

    name = "disk"
    label = "files of earlier runs"
    pinned = "with the files that earlier runs left moved aside"
    contrast = "{differing} of {compared} that found them had another result"
    code = "state.disk"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "state.disk": CauseWords(
            "a file that an earlier run left",
            "write into tmp_path, which is fresh for each run, or key the file by all that decides its content",
        )
    }
    kinds: ClassVar[tuple[str, ...]] = ("left",)
    events: ClassVar[Mapping[str, EventHandler]] = {"open": _note_open, "sqlite3.connect": _note_connect}
    moves_files = True
    outlasts_runs = True

    def begin_repetition(self) -> None:
        """Forget the written files: those of the repetition before were left by an earlier run."""
        _written.clear()

    def is_suggested(self, situation: Situation) -> bool:
        return situation.has_left_files

    def describe(self, sightings: list[Sighting]) -> str:
        names = list(dict.fromkeys(Path(str(entry["detail"])).name for entry in sightings))
        return f" ({', '.join(names[:3])})"


def begin(since: float) -> None:
    """Note from now on the files that were written since a moment [s since 1970], but not by this run."""
    global _since
    _since = since
    _written.clear()


def note_found(path: Any) -> None:
    """Note a file at the user's line if it is there and an earlier run of the session wrote it."""
    if _since is math.inf or not isinstance(path, (str, bytes, os.PathLike)):
        return
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
    if name not in _written and not name.endswith(_COMPILED) and _is_left(name, _since):
        note("left", name)


def find_left(paths: Iterable[str], since: float) -> list[Path]:
    """Return the regular files among paths that are there and were written since a moment [s since 1970]."""
    return [Path(path) for path in sorted(set(paths)) if _is_left(path, since)][:MAX_FILES]


def _is_left(path: str, since: float) -> bool:
    try:
        found = os.lstat(path)  # a link is not a file that the session wrote
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mtime >= since


@contextmanager
def moved_aside(files: Iterable[Path]) -> Iterator[None]:
    """Move files away within their folders, and back over whatever was made in their place."""
    moved: list[tuple[Path, Path]] = []
    try:
        for file in files:
            aside = file.with_name(f".{file.name[:80]}.{secrets.token_hex(4)}.repro-aside")
            with suppress(OSError):
                file.rename(aside)
                moved.append((aside, file))
        yield
    finally:
        for aside, file in moved:
            aside.replace(file)
