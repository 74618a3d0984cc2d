"""All sources of irreproducibility, in the order in which a search tries them.

First come those that can be seen when they are reached, then those that cannot.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from pytest_repro.sources.base import Source
from pytest_repro.sources.sightings import AT

_CLASSES = (
    "entropy.Entropy",
    "worker_entropy.WorkerEntropy",
    "temporary_names.TemporaryNames",
    # Before the clock, from which some are seeded: a seed is the better fix.
    "foreign_generators.ForeignGenerators",
    "clock.Clock",
    "clock.SlowClock",
    "process_id.ProcessId",
    "hash_seed.StartedHashSeed",
    "left_files.LeftFiles",
    "file_times.FileTimes",
    "listing.Listing",
    "task_order.TaskOrder",
    "one_task.OneTask",
    "inline_tasks.InlineTasks",
    # Before the threads: with one thread a process may well find the same memory each time.
    "memory.UnwrittenMemory",
    "data_threads.ArrowThreads",
    "data_threads.PolarsThreads",
    "data_threads.DuckDBThreads",
    "threads.LibraryThreads",
    "heap.Heap",
    "hash_seed.HashSeed",
    "addresses.Addresses",
    "openmp.OpenMPThreads",
    "shifted_addresses.ShiftedAddresses",
    "precision.Precision",
    "compilers.Compilers",
    "isolated_draws.IsolatedDraws",
)


def _make_source(path: str) -> Source:
    module, _, name = path.partition(".")
    source: Source = getattr(importlib.import_module(f"pytest_repro.sources.{module}"), name)()
    return source


SOURCES = tuple(map(_make_source, _CLASSES))


def find_source(name: str) -> Source:
    """Return a source by its machine name, with or without a line at which alone it is pinned."""
    return next(source for source in SOURCES if source.name == name.partition(AT)[0])


def label_of(name: str) -> str:
    """Return the label of a source, and any other name, such as that of an axis, as it is."""
    return next((source.label for source in SOURCES if source.name == name), name)


def expand_pins(names: Iterable[str]) -> frozenset[str]:
    """Return the names of all sources that are pinned when these are."""
    found = set(names)
    for source in SOURCES:
        if source.name in found:
            found |= set(source.includes)
    return frozenset(found)
