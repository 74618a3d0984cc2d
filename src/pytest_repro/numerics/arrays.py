"""Comparison of two arrays of one shape and dtype in one pass, and the error of an array against a reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.errors import UnsupportedTypeError, UsageError
from pytest_repro.model import Tolerance
from pytest_repro.numerics.blocks import compared_blocks, count_equal_prefix, is_same_memory_image, matched_blocks
from pytest_repro.numerics.dense import choose_numpy_kernel
from pytest_repro.numerics.fused import CALL_BYTES, FusedKernel
from pytest_repro.numerics.kinds import Kind, kind_of
from pytest_repro.numerics.norms import SquareSum
from pytest_repro.numerics.sharing import have_equal_memory, held_part
from pytest_repro.numerics.statistics import ArrayStatistics, Tally
from pytest_repro.numerics.underflow import gradual_underflow

Array = NDArray[Any]

_EXACT = Tolerance()


def compare_arrays(actual: Array, expected: Array, *, dtype: str = "", bound: Tolerance = _EXACT) -> ArrayStatistics:
    """Compare two arrays bit by bit and measure the differences, in one pass with a few blocks of extra memory.

    Parameters
    ----------
    actual, expected : ndarray, shape (*s), same dtype
        Any strides, byte order or memory map. Never written to.
    dtype : str, optional
        Logical dtype where the arrays are unsigned carriers of it (``"bfloat16"`` in uint16).
    bound : Tolerance
        `max_ulp`, `rtol` and `atol` decide which elements count as `over`. If none of them is given, every differing
        element does.

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
    actual, expected = _to_plain(actual), _to_plain(expected)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise UsageError(
            f"compare_arrays needs one shape and one dtype, got {actual.dtype} {actual.shape} and"
            f" {expected.dtype} {expected.shape}; nothing is broadcast or converted"
        )
    kind = kind_of(dtype or actual.dtype.name, actual.dtype)
    if actual is expected or not actual.itemsize:
        return ArrayStatistics(actual.size)
    actual, expected = read_as_bits(actual, kind), read_as_bits(expected, kind)
    if have_equal_memory(actual, expected):
        return ArrayStatistics(actual.size)
    left, right = held_part(actual), held_part(expected)
    if left.shape == right.shape != actual.shape:
        return _measure(left, right, kind, bound).times(actual.size // left.size)
    return _measure(actual, expected, kind, bound)


def _measure(actual: Array, expected: Array, kind: Kind, bound: Tolerance) -> ArrayStatistics:
    equal = count_equal_prefix(actual, expected)
    if equal == actual.size or (not equal and is_same_memory_image(actual, expected)):
        return ArrayStatistics(actual.size)
    tally = Tally(kind, bound)
    measure = _measure_compiled if FusedKernel.supports(tally) else _measure_in_numpy
    with gradual_underflow(), np.errstate(all="ignore"):
        measure(tally, actual, expected, equal)
        return tally.finish(actual.shape)


def _measure_compiled(tally: Tally, actual: Array, expected: Array, equal: int) -> None:
    """Measure two arrays whose first `equal` elements do not differ."""
    kernel = FusedKernel(tally, expected.size)
    if equal:  # the equal elements still count in the norm
        prefix = expected.reshape(-1)[:equal]
        for start, block, _ in matched_blocks(prefix, prefix, plain_bytes=CALL_BYTES):
            kernel.add_block(start, block, block)
    for start, left, right in matched_blocks(actual, expected, equal, plain_bytes=CALL_BYTES):
        kernel.add_block(start, left, right)


def _measure_in_numpy(tally: Tally, actual: Array, expected: Array, equal: int) -> None:
    kernel = choose_numpy_kernel(tally, expected.size)
    if equal:
        prefix = expected.reshape(-1)[:equal]
        for _, block, _ in matched_blocks(prefix, prefix):
            kernel.add_expected(block)
    for start, left, right, is_same in compared_blocks(actual, expected, equal):
        if not is_same:
            kernel.add_block(start, left, right)
        kernel.add_expected(right)


def _to_plain(array: Array) -> Array:
    """Drop a memory map's subclass, and reject a masked array, whose mask would be dropped with it."""
    if isinstance(array, np.ma.MaskedArray):
        raise UnsupportedTypeError("a masked array cannot be compared as one array; compare its data and its mask")
    return np.asarray(array)


def read_as_bits(array: Array, kind: Kind) -> Array:
    """Return a view of the array with the kind's storage dtype, in the array's own byte order."""
    storage = kind.storage
    if array.dtype.newbyteorder("=") == storage or storage.kind in "SUV":
        return array
    order = array.dtype.byteorder if array.dtype.byteorder in "<>" else "="
    return array.view(storage.newbyteorder(order))


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Root mean square of the error, and of the reference."""

    rms: float
    scale: float


def error_rms(array: Array, reference: Array, *, dtype: str) -> ErrorFigures:
    """Measure the error of an array against a float64 reference.

    Parameters
    ----------
    array : ndarray, shape (*s)
        Of the logical dtype `dtype`, as numbers or as a carrier of their codes.
    reference : ndarray of float64, shape (*s)

    Returns
    -------
    ErrorFigures
        `rms` is NaN if the array or the reference holds NaN or infinity.
    """
    squares, scale = _difference_squares(array, reference, dtype, "float64")
    return ErrorFigures(squares.mean_root(array.size) if squares is not None else math.nan, scale.mean_root(array.size))


def difference_norm(actual: Array, expected: Array, *, dtype: str) -> float:
    """Return ``||actual - expected||_2`` of two arrays of one logical dtype, NaN if either holds NaN or infinity."""
    squares, _ = _difference_squares(actual, expected, dtype, dtype)
    return squares.mean_root(1) if squares is not None else math.nan


def _difference_squares(
    left: Array, right: Array, left_dtype: str, right_dtype: str
) -> tuple[SquareSum | None, SquareSum]:
    if left.shape != right.shape:
        raise UsageError(f"an error needs two arrays of one shape, got {left.shape} and {right.shape}")
    left_kind, right_kind = kind_of(left_dtype, left.dtype), kind_of(right_dtype, right.dtype)
    squares, scale, is_finite = SquareSum(), SquareSum(), True
    blocks = matched_blocks(read_as_bits(left, left_kind), read_as_bits(right, right_kind))
    with gradual_underflow(), np.errstate(all="ignore"):
        for _, left_block, right_block in blocks:
            first, second = left_kind.values(left_block), right_kind.values(right_block)
            if first is None or second is None:
                raise UsageError(f"an error needs two arrays of numbers, got {left_dtype} and {right_dtype}")
            difference = first - second
            is_finite = is_finite and bool(np.isfinite(difference).all())
            squares.add_values(difference)
            scale.add_values(second)
    return (squares if is_finite else None), scale
