"""The hashes of strings, which follow from PYTHONHASHSEED."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import STARTED, EventHandler, Pin, Source
from pytest_repro.sources.sightings import note
from pytest_repro.sources.started_interpreters import variables_in_started


class HashSeed(Source):
    """Hashes of strings and bytes, which order sets."""

    name = "hash"
    label = "hash seed"
    pinned = "with PYTHONHASHSEED fixed"
    code = "hash.str_hashseed"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "hash.str_hashseed": CauseWords(
            "the hashes of strings, which order sets",
            "iterate over sorted(...) where a set or its order reaches the result, or key by something stable",
            call_fixes=(
                (
                    "hash",
                    "replace hash(), which differs between interpreters for strings and bytes, by zlib.crc32(data) or "
                    "hashlib.sha256(data)",
                ),
            ),
        )
    }
    # Whatever the number of the process would make of it.
    pin: ClassVar[Pin | None] = Pin("hash", environment={"PYTHONHASHSEED": "0"})
    is_shared_by_forks = True
    is_set_at_start = True


def _fix_in_started(value: JSON) -> AbstractContextManager[None]:
    return variables_in_started({"PYTHONHASHSEED": "0"})


def _note_command(event: str, args: tuple[Any, ...]) -> None:
    note("command", event)


class StartedHashSeed(Source):
    """Hashes of strings in an interpreter that the run starts, which has a hash seed of its own."""

    name = "started_hash"
    label = "hash seed of started interpreters"
    pinned = "with PYTHONHASHSEED fixed in the interpreter that the test starts"
    code: ClassVar[str] = HashSeed.code
    kinds: ClassVar[tuple[str, ...]] = (STARTED, "process", "command")
    events: ClassVar[Mapping[str, EventHandler]] = {"os.system": _note_command}
    #: Loaded where worker processes are interpreters of their own, whose start raises no event.
    libraries: ClassVar[tuple[str, ...]] = (
        "multiprocessing.popen_spawn_posix",
        "multiprocessing.popen_forkserver",
        "joblib.externals.loky.backend.popen_loky_posix",
    )
    # Workers whose tasks run in this process have its hash seed, and a pin of addresses needs one.
    is_fixed_by_others = True
    pin: ClassVar[Pin | None] = Pin("started_hash", applied=_fix_in_started)
