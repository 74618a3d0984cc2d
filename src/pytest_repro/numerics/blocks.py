"""Iteration over two arrays in equal blocks, without copies, and the search for blocks whose bytes are equal."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Block = tuple[int, Array, Array]

#: Bytes of a block on each side. Smaller blocks fit into an L2 cache with all buffers, but restart the processor's
#: prefetching and pay NumPy's call overhead more often: 128 KiB took 50 % longer (benchmarks/compare.py).
BLOCK_BYTES = 512 * 1024
#: Bytes of a block whose sides are equal. Only the norm of one side is computed from it, so the cache holds half as
#: much.
_SAME_BYTES = BLOCK_BYTES // 2


def _load_memcmp() -> Any:
    """Return the C library's memcmp, or a slower function in Python if it cannot be loaded."""
    try:
        memcmp = (ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)).memcmp
    except (OSError, TypeError, AttributeError):
        return compare_copies
    memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    memcmp.restype = ctypes.c_int
    return memcmp


def compare_copies(left: int, right: int, size_bytes: int) -> bool:
    """Return whether the bytes at two addresses differ."""
    return ctypes.string_at(left, size_bytes) != ctypes.string_at(right, size_bytes)


_memcmp = _load_memcmp()


def same_memory(left: int, right: int, size_bytes: int) -> bool:
    """Return whether the same bytes lie at two addresses that the caller keeps alive."""
    return not _memcmp(left, right, size_bytes)


def count_equal_prefix(actual: Array, expected: Array) -> int:
    """Return the number of leading elements in blocks whose bytes are equal.

    It is 0 for arrays that are not plain (contiguous, aligned, native), whose bytes are not compared.
    """
    if not (is_plain(actual) and is_plain(expected)):
        return 0
    step = max(1, BLOCK_BYTES // max(1, actual.itemsize)) * actual.itemsize
    here, there, size = actual.ctypes.data, expected.ctypes.data, actual.nbytes
    for offset in range(0, size, step):
        if _memcmp(here + offset, there + offset, min(step, size - offset)):
            return offset // actual.itemsize
    return actual.size


def is_same_memory_image(actual: Array, expected: Array) -> bool:
    """Return whether two densely packed arrays of one layout hold the same bytes.

    Fortran order would have to be gathered element by element. Read in the order of memory it costs no more than C
    order. Arrays of another layout give False.
    """
    if (actual.shape, actual.strides, actual.dtype) != (expected.shape, expected.strides, expected.dtype):
        return False
    axes = sorted(range(actual.ndim), key=lambda axis: -actual.strides[axis])
    left, right = actual.transpose(axes), expected.transpose(axes)
    return is_plain(left) and is_plain(right) and count_equal_prefix(left, right) == left.size


def matched_blocks(
    actual: Array, expected: Array, first: int = 0, *, plain_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
    """Yield ``(start, actual, expected)`` in C order: the flat index and two contiguous native blocks of one length.

    The first block begins at flat index `first`, which is 0 unless both arrays are plain. A block is a view of at most
    `plain_bytes`, or a buffer of `BLOCK_BYTES` if strides or byte order require a copy. It is valid until the next one
    is requested.
    """
    width = max(1, actual.itemsize, expected.itemsize)
    if is_plain(actual) and is_plain(expected):
        step = max(1, plain_bytes // width)
        left, right = actual.reshape(-1), expected.reshape(-1)
        for start in range(first, left.size, step):
            yield start, left[start : start + step], right[start : start + step]
        return
    step = max(1, BLOCK_BYTES // width)
    iterator: Any = np.nditer(  # type: ignore[call-overload]  # the stub does not know "contig"
        [actual, expected],
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=[["readonly", "contig", "aligned", "nbo"]] * 2,
        op_dtypes=[actual.dtype.newbyteorder("="), expected.dtype.newbyteorder("=")],
        order="C",
        casting="equiv",
        buffersize=step,
    )
    start = 0
    for left, right in iterator:
        yield start, left, right
        start += left.size


def compared_blocks(actual: Array, expected: Array, first: int = 0) -> Iterator[tuple[int, Array, Array, bool]]:
    """Yield the blocks of `matched_blocks` with a flag whether both sides hold the same bytes.

    A block with equal sides may be shorter.
    """
    if not (is_plain(actual) and is_plain(expected)):
        for start, left, right in matched_blocks(actual, expected, first):
            yield start, left, right, same_memory(left.ctypes.data, right.ctypes.data, left.nbytes)
        return
    left, right = actual.reshape(-1), expected.reshape(-1)
    here, there, size, width = left.ctypes.data, right.ctypes.data, left.size, left.itemsize
    short, long, start = max(1, _SAME_BYTES // width), max(1, BLOCK_BYTES // width), first
    while start < size:
        end = min(start + short, size)
        is_same = not _memcmp(here + start * width, there + start * width, (end - start) * width)
        if not is_same:
            end = min(start + long, size)
        yield start, left[start:end], right[start:end], is_same
        start = end


def unequal_parts(actual: Array, expected: Array, step: int) -> Iterator[slice]:
    """Yield the slices of `step` elements in which two C-contiguous blocks of one dtype and length differ."""
    size, width = actual.size, actual.itemsize
    here, there = actual.ctypes.data, expected.ctypes.data
    for start in range(0, size, step):
        end = min(start + step, size)
        if not same_memory(here + start * width, there + start * width, (end - start) * width):
            yield slice(start, end)


def is_plain(array: Array) -> bool:
    """Return whether an array is C-contiguous, aligned and in native byte order."""
    return bool(array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative)
