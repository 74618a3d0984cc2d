"""The hashes of strings, which follow from PYTHONHASHSEED."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pytest_repro.axes.base import BuiltInAxis, Engine
from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import Source


class HashPin(BuiltInAxis):
    """PYTHONHASHSEED fixed."""

    name: ClassVar[str] = "pin:hash"
    needs: ClassVar[Engine] = "spawn"

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Fix the seed, whatever the number of the process would make of it."""
        return {"PYTHONHASHSEED": "0"}


class HashSeed(Source):
    """Hashes of strings and bytes, which order sets."""

    name: ClassVar[str] = "hash"
    label: ClassVar[str] = "hash seed"
    pinned: ClassVar[str] = "with PYTHONHASHSEED fixed"
    code: ClassVar[str] = "hash.str_hashseed"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "hash.str_hashseed": CauseWords(
            "the hashes of strings, which order sets",
            "iterate over sorted(...) where a set or its order reaches the result, or key by something stable",
        )
    }
    pin: ClassVar[BuiltInAxis] = HashPin()
    is_shared_by_forks: ClassVar[bool] = True
    is_set_at_start: ClassVar[bool] = True
