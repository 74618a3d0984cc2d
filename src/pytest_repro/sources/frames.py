"""Whose code is running: the user's frames among those of libraries."""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path
from types import FrameType

#: Frames looked through for one of the user's.
MAX_FRAMES = 60
_OWN = str(Path(__file__).resolve().parents[1])


def _folders(*keys: str) -> tuple[str, ...]:
    found = {sysconfig.get_paths()[key] for key in keys}
    return tuple(found | {str(Path(path).resolve()) for path in found})


# At import, and by text alone from then on: asking the file system would call what the probes have replaced.
_STANDARD = _folders("stdlib", "platstdlib")
_INSTALLED = (*_folders("stdlib", "platstdlib", "purelib", "platlib"), _OWN)


@functools.cache
def is_users_file(name: str) -> bool:
    """Tell whether a file is neither the interpreter's, nor installed, nor this package's."""
    if not name or name.startswith("<"):
        return False
    return not name.startswith(_INSTALLED) and "site-packages" not in name


def is_own_file(name: str) -> bool:
    """Tell whether a file belongs to this package, which looks at the clock as it watches."""
    return name.startswith(_OWN)


@functools.cache
def is_standard_file(name: str) -> bool:
    """Tell whether a file belongs to the standard library itself, and not to what is installed beside it."""
    return name.startswith(("<frozen", *_STANDARD)) and "site-packages" not in name


def find_user_frame() -> FrameType | None:
    """Return the innermost frame of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(MAX_FRAMES):
        if frame is None:
            return None
        if is_users_file(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def find_library(users: FrameType) -> str:
    """Return the library that a frame of the user's called, by the name of its package; "" where none is between."""
    frame: FrameType | None = sys._getframe(1)
    found = ""
    while frame is not None and frame is not users:
        name = frame.f_code.co_filename
        if not name.startswith(("<", _OWN)) and not is_standard_file(name):
            found = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        frame = frame.f_back
    return found


def site_of(frame: FrameType) -> tuple[str, int, str]:
    """Return a frame's file, line and function."""
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
