"""Times at which files were written."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Source
from pytest_repro.sources.clock import PINNED_TIME_S
from pytest_repro.sources.frames import find_near_user_frame
from pytest_repro.sources.left_files import note_found
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import note

#: Callers that ask whether a file is there, and read no time of it.
_EXISTENCE = frozenset({"exists", "isfile", "isdir", "is_file", "is_dir", "samefile", "_path_stat"})
#: Names that `tempfile` draws: a time that depended on one would differ again.
_DRAWN_NAME = re.compile(rb"tmp[a-z0-9_]{8}")


class FileTimes(Source):
    """`os.stat` as the user's code calls it. Pinned times follow from the names of the files."""

    name = "mtime"
    label = "file times"
    pinned = "with the times of files pinned"
    code = "fs.mtime"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "fs.mtime": CauseWords("the times at which files were written", "sort by name, not by the time of writing")
    }
    kinds: ClassVar[tuple[str, ...]] = ("mtime",)

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        """Replace the function for the user's code, and note files that an earlier run left on the way."""
        real, is_pinned = os.stat, self.name in pins

        def stat(path: Any, *args: Any, **kwargs: Any) -> Any:
            found = real(path, *args, **kwargs)
            note_found(path)
            name = sys._getframe(1).f_code.co_name
            if name in _EXISTENCE or find_near_user_frame() is None:
                return found
            note("mtime", name)
            return _pin(found, path) if is_pinned and isinstance(path, (str, bytes, os.PathLike)) else found

        patches.swap(real, stat)


def _pin(found: os.stat_result, path: str | bytes | os.PathLike[Any]) -> os.stat_result:
    base = _DRAWN_NAME.sub(b"tmp", os.fsencode(os.path.basename(os.fspath(path))))  # noqa: PTH119 - bytes too
    moment = PINNED_TIME_S + int.from_bytes(hashlib.sha256(base).digest()[:3], "little")
    fields = list(found[:10])
    fields[7:10] = [int(moment)] * 3
    named = {f"st_{k}time": moment for k in "amc"} | {f"st_{k}time_ns": int(moment * 1e9) for k in "amc"}
    return os.stat_result(fields, named)
