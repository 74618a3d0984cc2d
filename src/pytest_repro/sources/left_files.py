"""Files that an earlier run of the session left, seen where the user's code opens them or asks for them."""

from __future__ import annotations

import math
import os
import stat
from typing import Any

from pytest_repro.sources.sightings import note

#: What Python and numba themselves read and write beside a run.
_COMPILED = (".py", ".pyc", ".pyi", ".so", ".nbi", ".nbc")

_since = math.inf
_written: set[str] = set()


def begin(since: float) -> None:
    """Note from now on the files that were written since a moment [s since 1970], but not by this run."""
    global _since
    _since = since
    _written.clear()


def forget_written() -> None:
    """Begin a repetition: what the one before has written is left by an earlier run."""
    _written.clear()


def note_open(path: Any, flags: Any) -> None:
    """Take the event that the interpreter raises before it opens a file."""
    if _since is math.inf or not isinstance(path, (str, bytes)) or not isinstance(flags, int):
        return
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - asks nothing of the file system
    if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        # Opened to be added to, a file decides as much as one that is read.
        if not flags & (os.O_TRUNC | os.O_EXCL):
            note_found(name)
        _written.add(name)
    else:
        note_found(name)


def note_found(path: Any) -> None:
    """Note a file that is there, at the user's line, if an earlier run of the session wrote it."""
    if _since is math.inf or not isinstance(path, (str, bytes, os.PathLike)):
        return
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
    if name in _written or name.endswith(_COMPILED):
        return
    if is_left(name, _since):
        note("left", name)


def is_left(path: str, since: float) -> bool:
    """Tell whether a regular file is there that was written since a moment [s since 1970]; a link is none."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mtime >= since
