"""Two arrays of one shape and dtype, gone through once: every figure of their comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.errors import UnsupportedTypeError, UsageError
from pytest_repro.model import Tolerance
from pytest_repro.numerics.blocks import (
    compared_blocks,
    count_equal_prefix,
    is_same_memory_image,
    matched_blocks,
)
from pytest_repro.numerics.dense import numpy_way
from pytest_repro.numerics.fused import CALL_BYTES, FusedKernel
from pytest_repro.numerics.kinds import Kind, kind_of
from pytest_repro.numerics.statistics import ArrayStatistics, Tally
from pytest_repro.numerics.underflow import gradual_underflow

Array = NDArray[Any]

_EXACT = Tolerance()


def compare_arrays(actual: Array, expected: Array, *, dtype: str = "", bound: Tolerance = _EXACT) -> ArrayStatistics:
    """Compare two arrays bit by bit and measure what differs, in one pass and a few blocks of memory.

    Parameters
    ----------
    actual, expected : ndarray, shape (*s), same dtype
        Any strides, byte order or memory map; never written to.
    dtype : str, optional
        Logical dtype where the arrays are unsigned carriers of it (``"bfloat16"`` in uint16).
    bound : Tolerance
        `max_ulp`, `rtol` and `atol` decide which elements count as `over`; with none of them given every
        differing element does.

    Returns
    -------
    ArrayStatistics

    Raises
    ------
    UsageError
        If shapes or dtypes differ: nothing is broadcast or converted.
    UnsupportedTypeError
        If the dtype has elements that cannot be compared bit by bit.
    """
    actual, expected = _plain(actual), _plain(expected)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise UsageError(
            f"compare_arrays needs one shape and one dtype, got {actual.dtype} {actual.shape} and"
            f" {expected.dtype} {expected.shape}; nothing is broadcast or converted"
        )
    kind = kind_of(dtype or actual.dtype.name, actual.dtype)
    if not actual.itemsize:
        return ArrayStatistics(actual.size)
    actual, expected = read_as_bits(actual, kind), read_as_bits(expected, kind)
    equal = count_equal_prefix(actual, expected)
    if equal == actual.size or (not equal and is_same_memory_image(actual, expected)):
        return ArrayStatistics(actual.size)
    with gradual_underflow(), np.errstate(all="ignore"):
        return _measure(actual, expected, equal, kind, bound)


def _measure(actual: Array, expected: Array, equal: int, kind: Kind, bound: Tolerance) -> ArrayStatistics:
    """Measure two arrays of which the first `equal` elements do not differ."""
    tally = Tally(kind, bound)
    walk = _walk_compiled if FusedKernel.suits(tally) else _walk_in_numpy
    walk(tally, actual, expected, equal)
    return tally.finish(actual.shape)


def _walk_compiled(tally: Tally, actual: Array, expected: Array, equal: int) -> None:
    kernel = FusedKernel(tally, expected.size)
    if equal:  # what was skipped still counts in the norm
        prefix = expected.reshape(-1)[:equal]
        for start, block, _ in matched_blocks(prefix, prefix, plain_bytes=CALL_BYTES):
            kernel.add_block(start, block, block)
    for start, left, right in matched_blocks(actual, expected, equal, plain_bytes=CALL_BYTES):
        kernel.add_block(start, left, right)


def _walk_in_numpy(tally: Tally, actual: Array, expected: Array, equal: int) -> None:
    way = numpy_way(tally, expected.size)
    if equal:
        prefix = expected.reshape(-1)[:equal]
        for _, block, _ in matched_blocks(prefix, prefix):
            way.add_expected(block)
    for start, left, right, is_same in compared_blocks(actual, expected, equal):
        if not is_same:
            way.add_block(start, left, right)
        way.add_expected(right)


def _plain(array: Array) -> Array:
    """Drop a memory map's subclass; refuse a masked array, whose mask would be dropped with it."""
    if isinstance(array, np.ma.MaskedArray):
        raise UnsupportedTypeError("a masked array must be compared as its data and its mask, one by one")
    return np.asarray(array)


def read_as_bits(array: Array, kind: Kind) -> Array:
    """Return the array read as the kind's storage, without a copy, in its own byte order."""
    storage = kind.storage
    if array.dtype.newbyteorder("=") == storage or storage.kind in "SUV":
        return array
    order = array.dtype.byteorder if array.dtype.byteorder in "<>" else "="
    return array.view(storage.newbyteorder(order))
