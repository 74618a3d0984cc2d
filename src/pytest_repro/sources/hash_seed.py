"""The hashes of strings, which follow from PYTHONHASHSEED."""

from __future__ import annotations

from pytest_repro.axes.base import BuiltInAxis
from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import Source


class HashPin(BuiltInAxis):
    """PYTHONHASHSEED fixed."""

    name = "pin:hash"
    needs = "spawn"

    def environment(self, value: JSON) -> dict[str, str | None]:
        return {"PYTHONHASHSEED": "0"}


class HashSeed(Source):
    """Hashes of strings and bytes, which order sets."""

    name = "hash"
    label = "hash seed"
    pinned = "with PYTHONHASHSEED fixed"
    code = "hash.str_hashseed"
    words = {
        "hash.str_hashseed": CauseWords(
            "the hashes of strings, which order sets",
            "iterate over sorted(...) where a set or its order reaches the result, or key by something stable",
        )
    }
    pin = HashPin()
    is_shared_by_forks = True
    is_set_at_start = True
