"""The id of the process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import STARTED, Source
from pytest_repro.sources.frames import find_near_user_frame, is_below
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import note

PINNED_PID = 4242
#: Modules of the standard library that compare process ids to detect a fork.
_DETECT_FORKS = (
    "tempfile",
    "multiprocessing.util",
    "multiprocessing.popen_fork",
    "concurrent.futures.process",
    "logging",
)


class ProcessId(Source):
    """`os.getpid` as the user's code calls it."""

    name = "pid"
    label = "process id"
    pinned = "with the process id pinned"
    code = "process.pid"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "process.pid": CauseWords("the process id", "use a number of your own, such as repro.seed")
    }
    kinds: ClassVar[tuple[str, ...]] = ("pid", STARTED)
    reaches_started = True

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        """Replace the function for the user's code alone: libraries signal processes by their ids."""
        real, is_pinned = os.getpid, self.name in pins

        def getpid() -> int:
            if find_near_user_frame() is None or is_below(*_DETECT_FORKS):
                return real()
            note("pid", "os.getpid")
            return PINNED_PID if is_pinned else real()

        patches.swap(real, getpid)
