"""How many runs go on at once: as many as the machine holds, and never one beside a run that needs all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pytest_repro.model import Condition
from pytest_repro.session.planning import PlannedExecution

Answer = TypeVar("Answer")
Ask = Callable[[int, Condition, int], Answer]

#: Axes that show what they show only while nothing else competes for the cores.
WHOLE_MACHINE = frozenset({"threads", "schedule", "cpu_count", "clock"})
#: Of the memory that is free, so much may be filled by runs.
MEMORY_SHARE = 0.7


@contextmanager
def side_by_side(
    ask: Ask[Answer],
    runs: Sequence[PlannedExecution],
    *,
    stop: Callable[[], None],
    peak_kib: int,
    most: int | None = None,
) -> Iterator[Iterator[tuple[PlannedExecution, Callable[[], Answer]]]]:
    """Start runs as the machine allows and hand on their answers in the order planned.

    Parameters
    ----------
    ask : callable (index, condition, seed) -> answer
        Makes one run; called from several threads.
    runs : sequence of PlannedExecution
    stop : callable
        Ends the runs that go on; called when the block is left by an error.
    peak_kib : int
        Memory that one run takes.
    most : int, optional
        Bound on the runs at once.
    """
    room = min(_room(runs, peak_kib), most or len(runs) or 1)
    # The number of runs beside each other never changes what one of them is given: threads are set by its condition.
    with ThreadPoolExecutor(max_workers=room, thread_name_prefix="pytest-repro-run") as pool:
        futures = [(run, pool.submit(ask, run.index, run.complete, run.seed)) for run in runs]
        try:
            yield ((run, future.result) for run, future in futures)
        except BaseException:
            stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _room(runs: Sequence[PlannedExecution], peak_kib: int) -> int:
    if any(axis in WHOLE_MACHINE for run in runs for axis, _ in run.complete):
        return 1
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    cores = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) // workers
    return max(1, min(cores, len(runs), _room_in_memory(peak_kib) // workers))


def _room_in_memory(peak_kib: int) -> int:
    """Return how many processes as large as the first would fit into what is free."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free_kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 1
    return int(free_kib * MEMORY_SHARE / max(peak_kib, 1))
