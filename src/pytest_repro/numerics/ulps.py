"""Exact, unsigned distances between elements, in representable steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.numerics.formats import FloatFormat, code_table

Bits = NDArray[Any]

_COUNTED_AT_ONCE = 16384


class Scratch:
    """Buffers that are reused from block to block, one for each purpose.

    Temporary arrays of a block's size would make the allocator return memory to the system and request it again, which
    takes several times as long as the arithmetic.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Bits] = {}

    def take(self, purpose: str, dtype: np.dtype[Any] | type, size: int) -> Bits:
        """Return an uninitialised array, valid until the next call for the same purpose."""
        buffer = self._buffers.get(purpose)
        if buffer is None or buffer.size < size or buffer.dtype != dtype:
            buffer = self._buffers[purpose] = np.empty(size, dtype)
        return buffer[:size]


def sign_magnitude_distance(actual: Bits, expected: Bits, scratch: Scratch | None = None) -> Bits:
    """Count the steps between IEEE codes of one unsigned dtype [ulp], in that dtype.

    The codes are mapped onto signed integers in the order of the numbers, both zeros onto 0. At most
    ``2 * (2**(w-1) - 1)`` lie between two of them, which the unsigned dtype of w bits holds; a signed difference
    would wrap.
    """
    scratch = scratch or Scratch()
    return integer_distance(_ordered(actual, scratch, "left"), _ordered(expected, scratch, "right"), scratch)


def _ordered(codes: Bits, scratch: Scratch, slot: str) -> Bits:
    signed = codes.view(f"i{codes.itemsize}")
    fill: Bits = np.right_shift(
        signed, 8 * codes.itemsize - 1, out=scratch.take("fill", signed.dtype, codes.size)
    )  # -1 or 0
    ordered = np.bitwise_and(fill, np.iinfo(signed.dtype).max, out=scratch.take(slot, signed.dtype, codes.size))
    ordered ^= signed
    ordered -= fill  # the complement of the magnitude, plus 1
    return ordered


def integer_distance(actual: Bits, expected: Bits, scratch: Scratch | None = None) -> Bits:
    """Count the steps between integers of one dtype, in the unsigned dtype of that width."""
    scratch = scratch or Scratch()
    steps: Bits = np.maximum(actual, expected, out=scratch.take("steps", actual.dtype, actual.size))
    steps -= np.minimum(actual, expected, out=scratch.take("smaller", actual.dtype, actual.size))
    # Wrapped or not: the true difference of the larger and the smaller is below 2**width.
    unsigned: Bits = steps.view(f"u{actual.dtype.itemsize}")
    return unsigned


def extended_distance(
    actual: tuple[Bits, Bits], expected: tuple[Bits, Bits], crossing: NDArray[np.bool_]
) -> tuple[Bits, Bits]:
    """Count the steps between magnitudes of 128 bits, given and returned as (high, low) uint64.

    `crossing` is true where the signs differ.
    """
    swap = (actual[0] < expected[0]) | ((actual[0] == expected[0]) & (actual[1] < expected[1]))
    high = np.where(swap, expected[0], actual[0]), np.where(swap, actual[0], expected[0])
    low = np.where(swap, expected[1], actual[1]), np.where(swap, actual[1], expected[1])
    borrow = (low[0] < low[1]).astype(np.uint64)
    difference = high[0] - high[1] - borrow, low[0] - low[1]
    low_sum = low[0] + low[1]
    carry = (low_sum < low[0]).astype(np.uint64)
    total = high[0] + high[1] + carry, low_sum
    return np.where(crossing, total[0], difference[0]), np.where(crossing, total[1], difference[1])


def bit_length_counts(steps: Bits, scratch: Scratch | None = None) -> NDArray[np.int64]:
    """Count unsigned integers by bit length: ``[k]`` counts those in ``[2**(k-1), 2**k)``, for k from 0 to 64."""
    scratch = scratch or Scratch()
    if steps.size > _COUNTED_AT_ONCE:
        parts = (steps[i : i + _COUNTED_AT_ONCE] for i in range(0, steps.size, _COUNTED_AT_ONCE))
        total: NDArray[np.int64] = np.add.reduce([bit_length_counts(part, scratch) for part in parts])
        return total
    largest = int(steps.max(initial=0))
    if largest < 256:
        small = whole_words(scratch.take("bytes", np.uint8, steps.size + 7), steps.size)
        np.copyto(small[: steps.size], steps, casting="unsafe")
        return count_byte_lengths(small, steps.size, largest)
    if steps.itemsize == 8:  # without adjacent ones, rounding to 53 bits cannot carry beyond the leading bit
        steps = steps & ~(steps >> np.uint64(1))
    floats = scratch.take("lengths", np.dtype(np.float64), steps.size)
    np.copyto(floats, steps)
    fields = np.right_shift(floats.view(np.int64), 52, out=floats.view(np.int64))
    exponents = np.bincount(fields, minlength=1023 + 64)
    counts = exponents[1022 : 1023 + 64]
    counts[0] = exponents[0]
    return counts


def count_byte_lengths(steps: NDArray[np.uint8], size: int, largest: int) -> NDArray[np.int64]:
    """Count the first `size` bytes by bit length.

    `steps` must consist of whole words of 8 bytes, with zeros after the first `size` bytes. It is overwritten.
    """
    words = steps.view(np.uint64)
    at_least = [size, int(np.count_nonzero(steps))]
    for power in range(1, largest.bit_length()):
        np.bitwise_and(words, np.uint64(0x0101010101010101 * ((0xFF << power) & 0xFF)), out=words)
        at_least.append(int(np.count_nonzero(steps)))
    counts = np.zeros(65, np.int64)
    counts[: len(at_least)] = at_least
    counts[: len(at_least) - 1] -= at_least[1:]
    return counts


def whole_words(buffer: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the first `size` bytes of a buffer, padded with zeros to whole words of 8 bytes."""
    end = -(-size // 8) * 8
    buffer[size:end] = 0
    return buffer[:end]


def code_distance(fmt: FloatFormat, actual: Bits, expected: Bits, scratch: Scratch | None = None) -> Bits:
    """Count the steps between one-dimensional native codes of a format [ulp].

    The result is meaningless where a side is NaN or infinite. It is a view of the scratch memory if that is given.
    """
    if fmt.width > 8:
        return sign_magnitude_distance(actual, expected, scratch)
    ranks = code_table(fmt.name).ranks
    return integer_distance(ranks[actual], ranks[expected])
