"""Errors of an array against a better answer, in one pass and a few blocks of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.errors import UsageError
from pytest_repro.numerics.arrays import read_as_bits
from pytest_repro.numerics.blocks import matched_blocks
from pytest_repro.numerics.kinds import kind_of
from pytest_repro.numerics.norms import SquareSum
from pytest_repro.numerics.underflow import gradual_underflow

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ErrorFigures:
    """Root mean square of the error, and of the reference."""

    rms: float
    scale: float


def error_rms(array: Array, reference: Array, *, dtype: str) -> ErrorFigures:
    """Measure an array against a float64 reference.

    Parameters
    ----------
    array : ndarray, shape (*s)
        Of the logical dtype `dtype`, as numbers or as a carrier of their codes.
    reference : ndarray of float64, shape (*s)

    Returns
    -------
    ErrorFigures
        `rms` is NaN where the array or the reference holds a NaN or an infinity: no error can be told.
    """
    squares, scale = _difference_squares(array, reference, dtype, "float64")
    return ErrorFigures(squares.mean_root(array.size) if squares is not None else math.nan, scale.mean_root(array.size))


def difference_norm(actual: Array, expected: Array, *, dtype: str) -> float:
    """Return ``||actual - expected||_2`` of two arrays of one logical dtype; NaN where either holds NaN or infinity."""
    squares, _ = _difference_squares(actual, expected, dtype, dtype)
    return squares.mean_root(1) if squares is not None else math.nan


def _difference_squares(
    left: Array, right: Array, left_dtype: str, right_dtype: str
) -> tuple[SquareSum | None, SquareSum]:
    if left.shape != right.shape:
        raise UsageError(f"errors need one shape, got {left.shape} and {right.shape}; nothing is broadcast")
    left_kind, right_kind = kind_of(left_dtype, left.dtype), kind_of(right_dtype, right.dtype)
    squares, scale, is_finite = SquareSum(), SquareSum(), True
    blocks = matched_blocks(read_as_bits(left, left_kind), read_as_bits(right, right_kind))
    with gradual_underflow(), np.errstate(all="ignore"):
        for _, left_block, right_block in blocks:
            first, second = left_kind.values(left_block), right_kind.values(right_block)
            if first is None or second is None:
                raise UsageError(f"errors need numbers, got {left_dtype} and {right_dtype}")
            difference = first - second
            is_finite = is_finite and bool(np.isfinite(difference).all())
            squares.add_values(difference)
            scale.add_values(second)
    return (squares if is_finite else None), scale
