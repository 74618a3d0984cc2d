"""The addresses of new objects in forks of one process, which depend on what the process before the fork left free.

Pinned by fresh memory, in which objects are allocated one after the other. That concerns small objects alone, for which
CPython keeps pools by size. The data of arrays are in the C library's memory: what depends on its content or alignment
is not pinned.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import ClassVar

from pytest_repro.model import JSON
from pytest_repro.sources.addresses import AddressSource
from pytest_repro.sources.base import Pin, Situation

#: Blocks of every 16th size up to this have pools [bytes]; a pool, and the memory that pools are cut from.
STEP, LARGEST = 16, 512
POOL_BYTES = 16 * 1024
#: The size of floats, and of integers as large as an address [bytes].
NUMBERS = 32
_POOL_HEADER = 48
#: So many pools in a row belong to memory that was fresh: freed ones are scattered.
_POOLS_IN_A_ROW = 50
#: A window of memory ends at the same place in two processes of which one took a little more before.
_WINDOW_BYTES = 16 * 2**20
#: Pools of each size reserved one after the other.
_RESERVED = 8
#: Memory taken at most to use up what was freed before [bytes].
MAX_BYTES = 128 * 2**20
_EMPTY = sys.getsizeof(b"")

_held: list[list[object]] = []


@contextmanager
def fresh_memory(value: JSON = True) -> Iterator[None]:
    """Use up the memory that the process before the fork left free, for the time of a block."""
    _held.append(take_free_memory())
    try:
        yield
    finally:
        _held.clear()


class Heap(AddressSource):
    """Addresses of new objects as they differ from fork to fork."""

    name = "heap"
    label = "addresses"
    pinned = "with new objects allocated one after the other in fresh memory"
    pin: ClassVar[Pin | None] = Pin("heap", applied=fresh_memory)
    turn_within = 2
    fixes_addresses = True
    watched_with = "shift"

    def begin_body(self) -> None:
        """Take the free memory once more: new objects would reuse what was freed since."""
        if _held:
            _held.append(take_free_memory())

    def is_suggested(self, situation: Situation) -> bool:
        """Return whether forks differ: all memory of a fresh interpreter is elsewhere."""
        return not situation.in_interpreters


def take_free_memory() -> list[object]:
    """Return blocks that use up all free places.

    While they are kept, new objects follow each other in fresh memory.
    """
    # So that the next collection comes after as many objects, and types keep no freed ones for themselves: how many
    # there are depends on what the process before the fork did last.
    gc.collect()
    held: list[object] = []
    begin = _use_up_old_memory(held)
    held.append(begin)  # freed at the end, its place would be the next that is taken
    for size in range(STEP, LARGEST, STEP):
        if size != NUMBERS:
            _fill_pool(held, size, begin)
    _fill_numbers(held, begin)
    for size in range(STEP, LARGEST + 1, STEP):
        held += _reserve(size)
    return held


def make_blocks(size: int, count: int) -> list[object]:
    """Return new objects of one size [bytes]."""
    if size == NUMBERS:
        return [float(number) for number in range(count)]
    return [_make_block(size) for _ in range(count)]


def _reserve(size: int) -> list[object]:
    """Reserve pools of one size, each kept by one block, so that those of other sizes do not come between them."""
    count = _capacity(size)
    return make_blocks(size, _RESERVED * count)[::count]


def _make_block(size: int) -> object:
    return object() if size == STEP else bytes(size - _EMPTY)


def _use_up_old_memory(held: list[object]) -> int:
    """Take blocks until a fresh piece of memory begins, and return the number of its first pool."""
    row, before, window = 0, 0, -1
    for _ in range(MAX_BYTES // LARGEST):
        held.append(_make_block(LARGEST))
        pool = id(held[-1]) // POOL_BYTES
        if pool == before:
            continue
        if pool == before + 1:
            row += 1
        elif row < _POOLS_IN_A_ROW:
            row = 0
        elif window < 0:
            window, row = pool * POOL_BYTES // _WINDOW_BYTES, 0
        elif pool * POOL_BYTES // _WINDOW_BYTES != window:
            held += [_make_block(LARGEST) for _ in range(_capacity(LARGEST) - 1)]
            return pool
        before = pool
    return 0


def _fill_pool(held: list[object], size: int, begin: int) -> None:
    """Take blocks of one size until one is in the fresh memory, and all others of its pool."""
    for _ in range(MAX_BYTES // LARGEST):
        held.append(_make_block(size))
        if 0 < id(held[-1]) // POOL_BYTES - begin < _POOLS_IN_A_ROW:
            held += [_make_block(size) for _ in range(_capacity(size) - 1)]
            return


def _fill_numbers(held: list[object], begin: int) -> None:
    """Do the same for the size of floats and of the integers that addresses are, without making any of those."""
    while not 0 < id(held[-1]) // POOL_BYTES - begin < _POOLS_IN_A_ROW:
        held.extend(map(float, repeat(1, _capacity(NUMBERS))))
    # Places that the lines above took and freed are among those taken; the pool ends after so many more.
    held.extend(map(float, repeat(1, 2 * _capacity(NUMBERS))))
    # In halves: a number above 256 would itself take a place.
    left = (POOL_BYTES - id(held[-1]) % POOL_BYTES) // NUMBERS - 1
    half, odd = left >> 1, left & 1
    del left
    for count in (half, half, odd):
        held.extend(map(float, repeat(1, count)))


def _capacity(size: int) -> int:
    return (POOL_BYTES - _POOL_HEADER) // size
