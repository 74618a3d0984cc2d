"""Entropy that worker processes draw.

Which task reaches which worker is chance. A pinned draw is therefore keyed by its line and its number within one task.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from types import FrameType
from typing import Any, ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Source
from pytest_repro.sources.sightings import Site
from pytest_repro.tracing.user_code import is_own_file, is_user_file

#: Modules that draw for their caller, repeatedly until a number suits it.
_DRAWING = frozenset({"random", "secrets", "uuid"})
#: The frame at which this process was forked: frames below it were called in the parent.
_forked_at: FrameType | None = None


class WorkerEntropy(Source):
    """Draws in forked workers, and in interpreters that work for the one that started them.

    It has no patches of its own: forked workers inherit those of :class:`~pytest_repro.sources.entropy.Entropy`.
    """

    name = "workers"
    label = "entropy of worker processes"
    pinned = "with the operating system's entropy pinned in the worker processes"
    code = "rng.worker_unseeded"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "rng.worker_unseeded": CauseWords(
            "generators of worker processes, which start from the operating system's entropy",
            "give every task a seed or a generator of its own: SeedSequence(seed).spawn(n)",
            "let {library} work in one process (workers=1, n_jobs=1), or give every task a seed",
        )
    }
    kinds: ClassVar[tuple[str, ...]] = ("process", "loader")
    reaches_started = True


def hash_to_bytes(key: str, size: int) -> bytes:
    """Return bytes that follow from a key alone."""
    found = b""
    while len(found) < size:
        found += hashlib.sha256(f"{key}:{len(found)}".encode()).digest()
    return found[:size]


def _note_fork() -> None:
    global _forked_at
    _forked_at = sys._getframe(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class PinnedTasks:
    """Pinned draws of a forked worker, which repeat with each task.

    Draws within one task are numbered: were each draw of a line the same, code that draws until a number suits it
    would never end.
    """

    def __init__(self) -> None:
        # The frame is kept: another task's frame might otherwise be at its address, and be taken for it.
        self._of_thread: dict[int, tuple[FrameType, Counter[Site]]] = {}

    def draw(self, site: Site, size: int) -> bytes:
        """Return the bytes of the next draw at a line of the user's code."""
        return hash_to_bytes(f"workers:{site}:{self._number(site)}", size)

    def _number(self, site: Site) -> int:
        """Return which draw of a line this is in the running task, from 1."""
        thread, task = threading.get_ident(), _find_task()
        known = self._of_thread.get(thread)
        if known is None or known[0] is not task:
            known = self._of_thread[thread] = task, Counter()
        known[1][site] += 1
        return known[1][site]


def _find_task() -> FrameType:
    """Return the outermost user frame since the fork, or without one the frame of the library that draws."""
    frame: Any = sys._getframe(3)
    users = nearest = None
    while frame is not None and frame is not _forked_at:
        name = frame.f_code.co_filename
        if is_user_file(name):
            users = frame
        elif nearest is None and not is_own_file(name) and frame.f_globals.get("__name__") not in _DRAWING:
            nearest = frame
        frame = frame.f_back
    return users or nearest or _forked_at or sys._getframe(3)
