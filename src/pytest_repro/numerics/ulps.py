"""Exact, unsigned distances in representable steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.errors import NonFiniteError, UsageError
from pytest_repro.numerics.formats import FloatFormat, code_table, format_of

Bits = NDArray[Any]


def sign_magnitude_distance(actual: Bits, expected: Bits) -> Bits:
    """Count the steps between IEEE codes of one unsigned dtype [ulp], in that dtype.

    Two codes of one sign lie the difference of their magnitudes apart, two of different signs the sum: at most
    ``2 * (2**(w-1) - 1)``, which the unsigned dtype of w bits holds. A signed difference would wrap there.
    """
    sign: Any = actual.dtype.type(1 << (actual.dtype.itemsize * 8 - 1))
    magnitude = actual.dtype.type(int(sign) - 1)
    left, right = actual & magnitude, expected & magnitude
    steps: Bits = np.maximum(left, right)
    steps -= np.minimum(left, right)
    crossing = ((actual ^ expected) & sign) != 0
    if crossing.any():
        np.copyto(steps, left + right, where=crossing)
    return steps


def integer_distance(actual: Bits, expected: Bits) -> Bits:
    """Count the steps between integers of one dtype, in the unsigned dtype of that width."""
    unsigned = np.dtype(f"u{actual.dtype.itemsize}")
    # The wrapped difference of the larger and the smaller is the true one: it is below 2**width.
    steps: Bits = np.maximum(actual, expected).view(unsigned) - np.minimum(actual, expected).view(unsigned)
    return steps


def extended_distance(
    actual: tuple[Bits, Bits], expected: tuple[Bits, Bits], crossing: NDArray[np.bool_]
) -> tuple[Bits, Bits]:
    """Count the steps between magnitudes of 128 bits, as (high, low) uint64; `crossing` where the signs differ."""
    swap = (actual[0] < expected[0]) | ((actual[0] == expected[0]) & (actual[1] < expected[1]))
    high = np.where(swap, expected[0], actual[0]), np.where(swap, actual[0], expected[0])
    low = np.where(swap, expected[1], actual[1]), np.where(swap, actual[1], expected[1])
    borrow = (low[0] < low[1]).astype(np.uint64)
    difference = high[0] - high[1] - borrow, low[0] - low[1]
    low_sum = low[0] + low[1]
    carry = (low_sum < low[0]).astype(np.uint64)
    total = high[0] + high[1] + carry, low_sum
    return np.where(crossing, total[0], difference[0]), np.where(crossing, total[1], difference[1])


def bit_length_counts(steps: Bits) -> list[int]:
    """Count unsigned integers by their bit length: ``[k]`` are those in ``[2**(k-1), 2**k)``; no trailing zeros."""
    top = int(steps.max(initial=0)).bit_length()
    if top <= 8 and steps.itemsize > 1:  # a quarter of the bytes to go through for each threshold below
        steps = steps.astype(np.uint8)
    elif top <= 16 and steps.itemsize > 2:
        steps = steps.astype(np.uint16)
    at_least = [steps.size]
    at_least += [int(np.count_nonzero(steps >= steps.dtype.type(1 << k))) for k in range(top)]
    at_least.append(0)
    return [at_least[k] - at_least[k + 1] for k in range(top + 1)]


def float_view(array: NDArray[Any], dtype: str | None = None) -> tuple[FloatFormat, Bits]:
    """Return an array's format and its codes as unsigned integers, without a copy.

    Raises
    ------
    UsageError
        If the dtype is no binary floating-point format of at most 64 bits.
    """
    name = dtype or array.dtype.newbyteorder("=").name
    fmt = format_of(name)
    width = max(8, fmt.width) if fmt else 0
    if fmt is None or array.dtype.itemsize * 8 != width:
        raise UsageError(f"ulp_distance needs a floating-point dtype of at most 64 bits, got {name} in {array.dtype}")
    order = array.dtype.byteorder if array.dtype.byteorder in "<>" else "="
    return fmt, array.view(np.dtype(f"u{width // 8}").newbyteorder(order))


def code_distance(fmt: FloatFormat, actual: Bits, expected: Bits) -> Bits:
    """Count the steps between native codes of a format [ulp]; meaningless where a side is NaN or infinite."""
    if fmt.width > 8:
        return sign_magnitude_distance(actual, expected)
    ranks = code_table(fmt.name).ranks
    return integer_distance(ranks[actual], ranks[expected])


def is_finite_code(fmt: FloatFormat, codes: Bits) -> NDArray[np.bool_]:
    """Tell which native codes stand for finite numbers."""
    if fmt.width <= 8:
        finite: NDArray[np.bool_] = np.isfinite(code_table(fmt.name).values)[codes]
        return finite
    infinity = codes.dtype.type(((1 << fmt.exponent) - 1) << fmt.mantissa)
    is_finite: NDArray[np.bool_] = (codes & codes.dtype.type((1 << (fmt.width - 1)) - 1)) < infinity
    return is_finite


def ulp_distance(actual: NDArray[Any], expected: NDArray[Any], *, dtype: str | None = None) -> NDArray[np.uint64]:
    """Count the representable steps between two arrays.

    Parameters
    ----------
    actual, expected : ndarray, shape (*s), same float dtype of at most 64 bits
        Those of ml_dtypes included (bfloat16, float8 ...).
    dtype : str, optional
        The format's name where the arrays are unsigned carriers of it: ``"bfloat16"`` in uint16.

    Returns
    -------
    ndarray of uint64, shape (*s)
        Distance [ulp]; +0 and -0 are 0 apart.

    Raises
    ------
    NonFiniteError
        If either side holds NaN or infinity: compare categories first.
    UsageError
        If shapes or dtypes differ, or the dtype is no such format.

    Notes
    -----
    Ordered-integer map, unsigned because a signed difference wraps between -max and +max.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise UsageError(
            f"ulp_distance needs one shape and one dtype, got {actual.dtype} {actual.shape} and"
            f" {expected.dtype} {expected.shape}; nothing is broadcast or converted"
        )
    fmt, left = float_view(actual, dtype)
    _, right = float_view(expected, dtype)
    left, right = (np.asarray(codes, dtype=codes.dtype.newbyteorder("=")) for codes in (left, right))
    for side, codes in (("actual", left), ("expected", right)):
        if not is_finite_code(fmt, codes).all():
            raise NonFiniteError(
                f"{side} holds NaN or infinity, which lie no number of steps from anything; compare categories first"
            )
    return code_distance(fmt, left, right).astype(np.uint64)
