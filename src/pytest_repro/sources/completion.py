"""Results that are taken as they come: noted, or taken in the order of the tasks."""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from pytest_repro.axes.patches import replace_everywhere
from pytest_repro.sources.sightings import note


def patch_order(stack: ExitStack, put: Callable[[Any, str, Any], None], *, in_order: bool) -> None:
    """Note where results are taken as they come; with `in_order`, have them come in the order of the tasks."""
    real = concurrent.futures.as_completed

    def as_completed(fs: Any, timeout: float | None = None) -> Iterator[Any]:
        note("unordered", "as_completed")
        if not in_order:
            yield from real(fs, timeout)
            return
        futures = list(fs)
        # A set of futures has no order of its own: the order of their making.
        futures = sorted(futures, key=lambda future: getattr(future, "_repro_number", 0)) if fs else futures
        for future in futures:
            with suppress(Exception):
                future.exception(timeout)
            yield future

    stack.enter_context(replace_everywhere({id(real): (real, as_completed)}))
    pool = multiprocessing.pool.Pool
    real_unordered = pool.imap_unordered

    def imap_unordered(self: Any, *args: Any, **kwargs: Any) -> Any:
        note("unordered", "imap_unordered")
        return self.imap(*args, **kwargs) if in_order else real_unordered(self, *args, **kwargs)

    put(pool, "imap_unordered", imap_unordered)

    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return
    real_coroutines = asyncio.as_completed

    def coroutines(fs: Any, *, timeout: float | None = None) -> Any:
        note("unordered", "asyncio.as_completed")
        return _InTurn(asyncio, fs, timeout) if in_order else real_coroutines(fs, timeout=timeout)

    stack.enter_context(replace_everywhere({id(real_coroutines): (real_coroutines, coroutines)}))


class _InTurn:
    """What `asyncio.as_completed` returns, which begins tasks in no order: a coroutine for each, in their order."""

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
    """Return which task this was, as asyncio names them: a set has no order; all the same for what is no task yet."""
    name = task.get_name() if hasattr(task, "get_name") else ""
    digits = name.removeprefix("Task-")
    return int(digits) if digits.isdecimal() else 0
