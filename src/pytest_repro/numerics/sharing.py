"""Arrays whose elements share memory, broadcast ones and overlapping windows, by the memory that they hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Smaller arrays are not worth a second look.
_MIN_BYTES = 4096
#: Larger arrays are searched for axes along which nothing changes before they are digested [bytes].
LARGE_BYTES = 64 * 2**20
_BLOCK_BYTES = 2**20


def held_part(array: Array) -> Array:
    """Return the part of an array that holds its elements: of each broadcast axis the first index alone.

    Parameters
    ----------
    array : ndarray, shape (*s)

    Returns
    -------
    ndarray, shape (*s) with 1 for each axis of stride 0
        Broadcasts to the array.
    """
    if array.nbytes <= _MIN_BYTES or 0 not in array.strides:
        return array
    return array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]


def memory_of(array: Array) -> Array | None:
    """Return all memory between an array's first and last element, or None if the elements do not overlap there.

    Returns
    -------
    ndarray, shape (n,), same dtype
        A view. Smaller than the array.
    """
    part, size = held_part(array), array.itemsize
    if part.nbytes <= _MIN_BYTES or not size or any(stride % size for stride in part.strides):
        return None
    extent = 1 + sum((n - 1) * abs(stride) // size for n, stride in zip(part.shape, part.strides, strict=True))
    if extent >= part.size:
        return None
    first = part[tuple(slice(None, None, -1) if stride < 0 else slice(None) for stride in part.strides)]
    return np.lib.stride_tricks.as_strided(first, (extent,), (size,), writeable=False)


def copy_array(array: Array) -> Array:
    """Copy an array in its own memory order, and no more memory than it has."""
    if array.nbytes <= _MIN_BYTES or array.flags.forc:
        return array.copy(order="K")
    memory = memory_of(array)
    part = held_part(array)
    if memory is None:
        copied = part.copy(order="K")
        return copied if part is array else np.broadcast_to(copied, array.shape)
    size = array.itemsize
    start = sum((n - 1) * -stride // size for n, stride in zip(part.shape, part.strides, strict=True) if stride < 0)
    copied = memory.copy()
    return np.lib.stride_tricks.as_strided(copied[start:], array.shape, array.strides, writeable=False)


def count_held_bytes(array: Array) -> int:
    """Return the bytes of memory that a copy of an array takes."""
    memory = memory_of(array)
    return int((held_part(array) if memory is None else memory).nbytes)


def have_equal_memory(one: Array, other: Array) -> bool:
    """Return whether two arrays of overlapping elements, of one shape and strides, hold the same bytes."""
    if one.strides != other.strides or one.shape != other.shape or one.dtype.kind not in "biuf":
        return False
    left, right = memory_of(one), memory_of(other)
    if left is None or right is None or left.shape != right.shape:
        return False
    return bool(np.array_equal(left.view(np.uint8), right.view(np.uint8)))


def drop_constant_axes(array: Array) -> Array:
    """Return a large array with the first index alone of each axis along which no bit changes.

    The same for all arrays of the same elements, whatever their memory: a broadcast array and a full one.

    Parameters
    ----------
    array : ndarray, shape (*s)
        Returned as it is if it is not large, or of a dtype that has no unsigned integer of its size.
    """
    if array.nbytes <= LARGE_BYTES or array.dtype.kind not in "biufmM" or array.itemsize > 8:
        return array
    bits = held_part(array).view(f"u{array.itemsize}")
    for axis, size in enumerate(bits.shape):
        if size > 1 and _is_constant(np.moveaxis(bits, axis, 0)):
            bits = bits[(slice(None),) * axis + (slice(0, 1),)]
    return array if bits.shape == array.shape else bits.view(array.dtype)


def _is_constant(bits: Array) -> bool:
    first = bits[:1]
    if not np.array_equal(bits[1:2], first):
        return False
    step = max(1, _BLOCK_BYTES // max(1, math.prod(bits.shape[1:]) * bits.itemsize))
    return all(bool((bits[start : start + step] == first).all()) for start in range(1, bits.shape[0], step))
