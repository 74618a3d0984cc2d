"""Memory that is read before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import Source


class UnwrittenMemory(Source):
    """New memory, pinned by the axis `memory`, which fills it."""

    name: ClassVar[str] = "memory"
    label: ClassVar[str] = "uninitialised memory"
    pinned: ClassVar[str] = "with new memory filled with one byte"
    code: ClassVar[str] = "memory.uninitialised"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "memory.uninitialised": CauseWords(
            "memory that is read before it is written",
            "np.zeros or torch.zeros where the buffer is not completely overwritten",
        )
    }
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")
    turn_within: ClassVar[int] = 1
    is_placed_by_source: ClassVar[bool] = True

    def condition(self, run: int) -> tuple[str, JSON]:
        """Return the axis that fills memory."""
        return "memory", 0
