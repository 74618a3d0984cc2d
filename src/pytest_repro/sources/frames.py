"""Frames of the user's code among those of libraries."""

from __future__ import annotations

import sys
from types import FrameType

from pytest_repro.tracing.user_code import is_own_file, is_standard_file, is_user_file

#: Frames searched for one of the user's code.
MAX_FRAMES = 60
#: Frames searched for a module of the standard library that leads to a call.
_MAX_FRAMES_BELOW = 12
#: Frames of the standard library's helpers between a call and the user's code.
_MAX_HELPERS = 4


def find_user_frame() -> FrameType | None:
    """Return the innermost frame of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(MAX_FRAMES):
        if frame is None:
            return None
        if is_user_file(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def find_near_user_frame() -> FrameType | None:
    """Return the user's frame that called the caller's caller, directly or through the standard library alone."""
    frame = find_user_frame()
    caller: FrameType | None = sys._getframe(2)
    for _ in range(_MAX_HELPERS):
        if caller is frame:
            return frame
        if caller is None or not is_standard_file(caller.f_code.co_filename):
            return None
        caller = caller.f_back
    return None


def is_below(*modules: str) -> bool:
    """Return whether one of these modules of the standard library leads to the caller."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MAX_FRAMES_BELOW):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") in modules:
            return True
        frame = frame.f_back
    return False


def find_library(user_frame: FrameType) -> str:
    """Return the name of the package that a frame of the user's code called, or "" without a library between."""
    frame: FrameType | None = sys._getframe(1)
    found = ""
    while frame is not None and frame is not user_frame:
        name = frame.f_code.co_filename
        if not name.startswith("<") and not is_own_file(name) and not is_standard_file(name):
            found = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        frame = frame.f_back
    return found


def site_of(frame: FrameType) -> tuple[str, int, str]:
    """Return a frame's file, line and function."""
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
