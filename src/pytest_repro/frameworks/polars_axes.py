"""Polars' pool of threads, whose size is fixed when it is imported. Imported only if polars is loaded."""

from __future__ import annotations

import os
import re
from contextlib import suppress

_OF_POOL = re.compile(r"polars-\d+")
_TASKS = "/proc/self/task"


def count_started() -> int:
    """Return the number of threads of the pool, or 0 where it has not started: asking polars would start it."""
    found = 0
    for task in os.listdir(_TASKS) if os.path.isdir(_TASKS) else ():  # noqa: PTH112, PTH208 - names, without a stat
        with suppress(OSError), open(f"{_TASKS}/{task}/comm", encoding="utf-8") as file:  # noqa: PTH123 - see above
            found += _OF_POOL.fullmatch(file.read().strip()) is not None
    return found
