"""Memory that is read before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import Source


class UnwrittenMemory(Source):
    """New memory, pinned by the axis `memory`, which fills it."""

    name = "memory"
    label = "uninitialised memory"
    pinned = "with new memory filled with one byte"
    code = "memory.uninitialised"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "memory.uninitialised": CauseWords(
            "memory that is read before it is written",
            "np.zeros or torch.zeros where the buffer is not completely overwritten",
        )
    }
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")
    turn_within = 1
    is_placed_by_source = True

    def condition(self, run: int) -> tuple[str, JSON]:
        return "memory", 0
