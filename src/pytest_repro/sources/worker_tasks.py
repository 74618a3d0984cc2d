"""What a forked worker draws within one task, numbered: which task comes to which worker is chance."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from types import FrameType
from typing import Any

from pytest_repro.sources.frames import is_own_file, is_users_file
from pytest_repro.sources.sightings import Site

#: What draws for its caller, over and over until a number suits it.
_DRAW = frozenset({"random", "secrets", "uuid"})
#: Where this process was forked: what stands below was called in the parent.
_forked_at: FrameType | None = None


def _note_fork() -> None:
    global _forked_at
    _forked_at = sys._getframe(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class TaskDraws:
    """Counts the draws of each line of the user's, for each task anew.

    Were each draw of a line the same in all of a task, code that draws until a number suits it would never end.
    """

    def __init__(self) -> None:
        # The frame is kept: another task's might else lie where it did, and be taken for it.
        self._of_thread: dict[int, tuple[FrameType, Counter[Site]]] = {}

    def number(self, site: Site) -> int:
        """Return which draw of a line this is in the task at work, from 1."""
        thread, task = threading.get_ident(), _find_task()
        known = self._of_thread.get(thread)
        if known is None or known[0] is not task:
            known = self._of_thread[thread] = task, Counter()
        known[1][site] += 1
        return known[1][site]


def _find_task() -> FrameType:
    """Return the outermost frame of the user's since the fork; where there is none, whatever library draws."""
    frame: Any = sys._getframe(2)
    users = nearest = None
    while frame is not None and frame is not _forked_at:
        name = frame.f_code.co_filename
        if is_users_file(name):
            users = frame
        elif nearest is None and not is_own_file(name) and frame.f_globals.get("__name__") not in _DRAW:
            nearest = frame
        frame = frame.f_back
    return users or nearest or _forked_at or sys._getframe(2)
