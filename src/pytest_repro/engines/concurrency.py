"""Runs at the same time: as many as the machine has room for, and none next to one that needs the whole machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from pytest_repro.engines.base import PlannedExecution
from pytest_repro.model.free_memory import read_free_kib

Answer = TypeVar("Answer")

#: Axes whose effect shows only while nothing else competes for the cores.
WHOLE_MACHINE = frozenset({"threads", "schedule", "cpu_count", "clock"})
#: Share of the free memory that runs may fill.
MEMORY_SHARE = 0.7


class RunsAhead(Generic[Answer]):
    """Starts runs ahead of their turn, as the machine allows: `ask` is called from several threads.

    `peak_kib` is the memory that one run takes, and `limit` a bound on the runs at the same time.
    """

    def __init__(
        self,
        ask: Callable[[PlannedExecution], Answer],
        runs: Sequence[PlannedExecution],
        *,
        peak_kib: int,
        limit: int | None = None,
    ) -> None:
        workers = max(1, min(_count_places(runs, peak_kib), limit or len(runs)))
        # The number of workers never changes what a run is given: threads are set by its condition.
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pytest-repro-run")
        self._futures = {id(run): self._pool.submit(ask, run) for run in runs}

    def result(self, planned: PlannedExecution) -> Answer:
        """Wait for one of the runs and return its answer, which is kept no longer."""
        return self._futures.pop(id(planned)).result()

    def close(self) -> None:
        """Start nothing more, and wait for the runs in progress, which the caller has to end."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _count_places(runs: Sequence[PlannedExecution], peak_kib: int) -> int:
    if any(axis in WHOLE_MACHINE for run in runs for axis, _ in run.complete):
        return 1
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    cores = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) // workers
    return max(1, min(cores, len(runs), _count_places_in_memory(peak_kib) // workers))


def _count_places_in_memory(peak_kib: int) -> int:
    """Return how many processes as large as the first fit into the free memory."""
    free_kib = read_free_kib()
    return 1 if free_kib is None else int(free_kib * MEMORY_SHARE / max(peak_kib, 1))
