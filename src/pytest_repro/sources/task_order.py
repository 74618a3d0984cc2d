"""The order in which results of concurrent tasks are taken."""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Source
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import note

#: Attribute of a future: its number in the order in which tasks were submitted.
NUMBER = "_repro_number"


class TaskOrder(Source):
    """Results taken as they come. When they are pinned, they come in the order of the tasks."""

    name = "order"
    label = "order of results"
    pinned = "with results taken in the order of the tasks"
    code = "race.completion_order"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "race.completion_order": CauseWords(
            "the order in which tasks end",
            "take results in the order of the tasks: map, imap, or the list of futures; DataLoader(in_order=True)",
            "let {library} work in one thread or process (workers=1, n_jobs=1)",
        )
    }
    kinds: ClassVar[tuple[str, ...]] = ("unordered",)
    matters_in_libraries = True

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        in_order = self.name in pins
        _patch_futures(patches, in_order=in_order)
        _patch_pools(patches, in_order=in_order)
        _patch_coroutines(patches, in_order=in_order)
        patches.call_adapter("torch_sources.patch_loader_order", in_order=in_order)


def _patch_futures(patches: SourcePatches, *, in_order: bool) -> None:
    real = concurrent.futures.as_completed

    def as_completed(fs: Any, timeout: float | None = None) -> Iterator[Any]:
        note("unordered", "as_completed")
        if not in_order:
            yield from real(fs, timeout)
            return
        # A set of futures has no order of its own: they are sorted by the order in which they were made.
        for future in sorted(fs, key=lambda future: getattr(future, NUMBER, 0)):
            with suppress(Exception):
                future.exception(timeout)
            yield future

    patches.swap(real, as_completed)


def _patch_pools(patches: SourcePatches, *, in_order: bool) -> None:
    pool = multiprocessing.pool.Pool
    real = pool.imap_unordered

    def imap_unordered(self: Any, *args: Any, **kwargs: Any) -> Any:
        note("unordered", "imap_unordered")
        return self.imap(*args, **kwargs) if in_order else real(self, *args, **kwargs)

    patches.put(pool, "imap_unordered", imap_unordered)


def _patch_coroutines(patches: SourcePatches, *, in_order: bool) -> None:
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return
    real = asyncio.as_completed

    def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
        note("unordered", "asyncio.as_completed")
        return _InOrder(asyncio, fs, timeout) if in_order else real(fs, timeout=timeout)

    patches.swap(real, as_completed)


class _InOrder:
    """Result of `asyncio.as_completed`: a coroutine for each task, in the order of the tasks.

    The real function starts the tasks in no order.
    """

    def __init__(self, asyncio: Any, tasks: Any, timeout_s: float | None) -> None:
        tasks = dict.fromkeys(tasks)
        self._asyncio, self._timeout_s = asyncio, timeout_s
        self._tasks = [asyncio.ensure_future(task) for task in sorted(tasks, key=_number_of)]

    def __iter__(self) -> Iterator[Any]:
        for task in self._tasks:
            yield self._asyncio.wait_for(task, self._timeout_s)

    async def __aiter__(self) -> Any:
        for task in self._tasks:
            await self._asyncio.wait([task], timeout=self._timeout_s)
            yield task


def _number_of(task: Any) -> int:
    """Return the number in the name that asyncio gives a task, or 0 without one. A set of tasks has no order."""
    name = task.get_name() if hasattr(task, "get_name") else ""
    digits = name.removeprefix("Task-")
    return int(digits) if digits.isdecimal() else 0
