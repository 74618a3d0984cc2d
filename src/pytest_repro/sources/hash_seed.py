"""The hashes of strings, which follow from PYTHONHASHSEED."""

from __future__ import annotations

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Pin, Source


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
    pin = Pin("hash", environment={"PYTHONHASHSEED": "0"})  # whatever the number of the process would make of it
    is_shared_by_forks = True
    is_set_at_start = True
