"""All sources of irreproducibility, in the order in which a search tries them.

First come those that can be seen when they are reached, then those that cannot.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_repro.sources.addresses import Addresses
from pytest_repro.sources.base import Source
from pytest_repro.sources.clock import Clock
from pytest_repro.sources.compilers import Compilers
from pytest_repro.sources.entropy import Entropy
from pytest_repro.sources.file_times import FileTimes
from pytest_repro.sources.foreign_generators import ForeignGenerators
from pytest_repro.sources.hash_seed import HashSeed
from pytest_repro.sources.heap import Heap
from pytest_repro.sources.inline_tasks import InlineTasks
from pytest_repro.sources.left_files import LeftFiles
from pytest_repro.sources.listing import Listing
from pytest_repro.sources.memory import UnwrittenMemory
from pytest_repro.sources.one_task import OneTask
from pytest_repro.sources.openmp import OpenMPThreads
from pytest_repro.sources.precision import Precision
from pytest_repro.sources.process_id import ProcessId
from pytest_repro.sources.shifted_addresses import ShiftedAddresses
from pytest_repro.sources.task_order import TaskOrder
from pytest_repro.sources.temporary_names import TemporaryNames
from pytest_repro.sources.threads import LibraryThreads
from pytest_repro.sources.worker_entropy import WorkerEntropy

SOURCES: tuple[Source, ...] = (
    Entropy(),
    WorkerEntropy(),
    TemporaryNames(),
    # Before the clock, from which some are seeded: a seed is the better fix.
    ForeignGenerators(),
    Clock(),
    ProcessId(),
    LeftFiles(),
    FileTimes(),
    Listing(),
    TaskOrder(),
    OneTask(),
    InlineTasks(),
    # Before the threads: with one thread a process may well find the same memory each time.
    UnwrittenMemory(),
    LibraryThreads(),
    Heap(),
    HashSeed(),
    Addresses(),
    OpenMPThreads(),
    ShiftedAddresses(),
    Precision(),
    Compilers(),
)


def find_source(name: str) -> Source:
    """Return a source by its machine name."""
    return next(source for source in SOURCES if source.name == name)


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
