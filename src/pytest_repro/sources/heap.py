"""Where Python's allocator puts new objects: somewhere else, or always at the same places of fresh memory.

Both concern small objects alone, for which CPython keeps pools by size. The data of arrays lie in the C library's
memory: what hangs on its content or alignment stays as it is.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

#: Blocks of every 16th size up to this have pools [bytes]; a pool, and the memory that pools are cut from.
STEP, LARGEST = 16, 512
POOL_BYTES = 16 * 1024
_POOL_HEADER = 48
#: So many pools in a row belong to memory that was fresh: what was freed before lies scattered.
_POOLS_IN_A_ROW = 50
#: Where a window of memory ends is the same in two processes of which one took a little more before.
_WINDOW_BYTES = 16 * 2**20
#: Pools of each size that lie ready one after the other.
_RESERVED = 8
#: Memory taken at most to use up what was freed before [bytes].
MAX_BYTES = 128 * 2**20
_EMPTY = sys.getsizeof(b"")
#: The size of floats, and of integers as large as an address [bytes].
_NUMBERS = 32

_held: list[list[object]] = []


def shift(amount: int) -> list[object]:
    """Return blocks of every size, as many as the amount makes of it; new objects lie elsewhere while they are kept."""
    draw = random.Random(str(amount))
    held: list[object] = []
    for size in range(STEP, LARGEST + 1, STEP):
        count = draw.randrange(1, 200)
        held += [float(number) if size == _NUMBERS else _make_block(size) for number in range(count)]
    return held


@contextmanager
def fresh_memory() -> Iterator[None]:
    """Have new objects lie in fresh memory, one by one."""
    _held.append(start_afresh())
    try:
        yield
    finally:
        _held.clear()


def renew() -> None:
    """Start afresh once more, if that is what is done: what was freed since is where new objects would lie."""
    if _held:
        _held.append(start_afresh())


def start_afresh() -> list[object]:
    """Return blocks that use up all free places; while they are kept, new objects lie in fresh memory, one by one."""
    # So that the next collection comes after as many objects, and types keep no freed ones for themselves: how many
    # there are hangs on what the process before the fork did last.
    gc.collect()
    held: list[object] = []
    begin = _use_up_old_memory(held)
    held.append(begin)  # given back at the end, its place would be the next that is taken
    for size in range(STEP, LARGEST, STEP):
        if size != _NUMBERS:
            _fill_pool(held, size, begin)
    _fill_numbers(held, begin)
    for size in range(STEP, LARGEST + 1, STEP):
        held += _reserve(size)
    return held


def _reserve(size: int) -> list[object]:
    """Have pools ready for one size, each kept by one block, so that others do not come between them."""
    count = _capacity(size)
    blocks = [float(number) if size == _NUMBERS else _make_block(size) for number in range(_RESERVED * count)]
    return blocks[::count]


def _make_block(size: int) -> object:
    return object() if size == STEP else bytes(size - _EMPTY)


def _use_up_old_memory(held: list[object]) -> int:
    """Take blocks until a fresh piece of memory begins; return the number of its first pool."""
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
    """Take blocks of one size until one lies in the fresh memory, and all others of its pool."""
    for _ in range(MAX_BYTES // LARGEST):
        held.append(_make_block(size))
        if 0 < id(held[-1]) // POOL_BYTES - begin < _POOLS_IN_A_ROW:
            held += [_make_block(size) for _ in range(_capacity(size) - 1)]
            return


def _fill_numbers(held: list[object], begin: int) -> None:
    """Do the same for the size of floats and of the integers that telling addresses needs, so without telling any."""
    while not 0 < id(held[-1]) // POOL_BYTES - begin < _POOLS_IN_A_ROW:
        held.extend(map(float, repeat(1, _capacity(_NUMBERS))))
    # What the lines above took and gave back lies among those that were taken; the pool ends after so many more.
    held.extend(map(float, repeat(1, 2 * _capacity(_NUMBERS))))
    # In halves: a number above 256 would itself take a place.
    left = (POOL_BYTES - id(held[-1]) % POOL_BYTES) // _NUMBERS - 1
    half, odd = left >> 1, left & 1
    del left
    for count in (half, half, odd):
        held.extend(map(float, repeat(1, count)))


def _capacity(size: int) -> int:
    return (POOL_BYTES - _POOL_HEADER) // size
