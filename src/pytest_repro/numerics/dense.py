"""The fast way through a block of float32 or float64 where much differs by little, in preallocated buffers.

The general way (`kinds`) takes some thirty passes over a block. Where all distances are small, most of what it guards
against cannot be, and ten passes give the same figures.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.model import Tolerance
from pytest_repro.numerics.blocks import BLOCK_BYTES, same_bytes
from pytest_repro.numerics.norms import FLOAT32_TRUSTED, dot
from pytest_repro.numerics.statistics import Tally
from pytest_repro.numerics.ulps import Scratch, bit_length_counts, count_byte_lengths

Array = NDArray[Any]

#: Below this share of differing elements it is cheaper to pick them out.
_SPARSE = 8
_SAMPLE = 1024
_SLICE = 16384


class DenseKernel:
    """Measures blocks of one float dtype; leaves those that need it to the general way.

    Notes
    -----
    With s the codes read as signed integers, ``|s_a - s_e|`` modulo 2**w is the distance in steps if the signs agree.
    If they do not, it is at least ``2**m + 1`` for finite numbers with m bits of fraction: the sum of the magnitudes
    is at most twice the largest finite one. So a largest distance of at most ``2**(m-1)`` proves that the signs agree
    where both sides are finite, which a finite sum of squared differences proves. It also proves the subtraction of the
    floats exact: the numbers lie less than a factor of 2 apart, or are few multiples of the smallest subnormal.
    """

    def __init__(self, tally: Tally, bound: Tolerance, elements: int) -> None:
        block_elements = min(elements, BLOCK_BYTES // tally.kind.storage.itemsize)
        width = tally.kind.storage.itemsize
        self._tally = tally
        self._signed, self._float = np.dtype(f"i{width}"), np.dtype(f"f{width}")
        self._limit = 1 << (np.finfo(self._float).nmant - 1)
        self._bound = bound
        self._steps = np.empty(block_elements, self._signed)
        self._floats = np.empty(block_elements, self._float)
        self._ratios = np.empty(block_elements, self._float)
        self._bytes = np.empty(block_elements, np.uint8)
        self._scratch = Scratch()
        self._flags = np.empty(block_elements, np.bool_)

    @staticmethod
    def suits(tally: Tally, bound: Tolerance) -> bool:
        """Tell whether a comparison can use the fast way: the dtype has hardware floats, and no norm is asked for.

        A norm that judges is summed in float64 by the general way.
        """
        return tally.kind.rounds and tally.kind.storage in (np.uint32, np.uint64) and bound.norm is None

    def add_block(self, start: int, actual: Array, expected: Array) -> None:
        """Take in a block whose bytes differ."""
        if not self._looks_sparse(actual, expected):
            self._add_part(start, actual, expected)
            return
        for offset in range(0, actual.size, _SLICE):
            left, right = actual[offset : offset + _SLICE], expected[offset : offset + _SLICE]
            if not same_bytes(left, right):
                self._add_part(start + offset, left, right)

    def _looks_sparse(self, actual: Array, expected: Array) -> bool:
        return _is_sparse(np.subtract(actual[:_SAMPLE], expected[:_SAMPLE]))

    def _add_part(self, start: int, actual: Array, expected: Array) -> None:
        if not self.add_dense(start, actual, expected):
            self._tally.add_block(start, actual, expected)

    def add_dense(self, start: int, actual: Array, expected: Array) -> bool:
        """Take a block in, or return False having taken in nothing."""
        size, tally = actual.size, self._tally
        steps = self._steps[:size]
        np.subtract(actual.view(self._signed), expected.view(self._signed), out=steps)
        if _is_sparse(steps):
            return False
        np.absolute(steps, out=steps)  # the most negative one stays so: as unsigned it is its own absolute value
        distances = steps.view(actual.dtype)
        largest = int(np.maximum.reduce(distances))
        if largest > self._limit:
            return False
        left, right = actual.view(self._float), expected.view(self._float)
        floats = self._floats[:size]
        np.subtract(left, right, out=floats)
        squares = self._square_sum(floats)
        if not math.isfinite(squares):
            return False  # a NaN or an infinity on either side leaves no finite difference
        tally.difference_squares.add(squares)
        counts = self._count_lengths(distances, largest)
        differing = size - int(counts[0])
        counts[0] = 0  # the signs agree, so what is 0 steps apart is equal
        tally.add_histogram(counts)
        tally.differing += differing
        np.absolute(floats, out=floats)
        tally.over += self._count_over(distances, largest, differing, floats, right)
        self._add_places(start, distances, largest)
        self._add_sizes(floats, left, right)
        return True

    def add_expected(self, expected: Array) -> None:
        """Take a block into the norm of the expected side."""
        total = self._square_sum(expected.view(self._float))
        if math.isfinite(total):
            self._tally.expected_squares.add(total)
        else:
            self._tally.add_expected(expected)

    def _square_sum(self, values: Array) -> float:
        """Return the sum of squares; not finite where float64 is needed to tell it, or where a NaN or infinity is."""
        total = dot(values)
        if self._float.itemsize == 4 and not FLOAT32_TRUSTED[0] < total < FLOAT32_TRUSTED[1] and not math.isnan(total):
            total = dot(values.astype(np.float64))
        if total < 1e-250 and self._float.itemsize == 8:
            return math.inf
        return total

    def _count_over(self, distances: Array, largest: int, differing: int, sizes: Array, expected: Array) -> int:
        """Count the elements that no bound admits."""
        bound = self._bound
        if bound.max_ulp >= largest:
            return 0
        if not (bound.rtol or bound.atol):
            return int(np.count_nonzero(distances > bound.max_ulp)) if bound.max_ulp else differing
        allowed = bound.atol + bound.rtol * np.abs(expected.astype(np.float64))
        admitted = sizes.astype(np.float64) <= allowed
        if bound.max_ulp:
            admitted |= distances <= bound.max_ulp
        return distances.size - int(np.count_nonzero(admitted))

    def _count_lengths(self, distances: Array, largest: int) -> Array:
        if largest >= 256:
            return bit_length_counts(distances, self._scratch)
        small = self._bytes[: distances.size]
        np.copyto(small, distances, casting="unsafe")
        return count_byte_lengths(small, largest, self._flags[: distances.size])

    def _add_places(self, start: int, distances: Array, largest: int) -> None:
        tally = self._tally
        if tally.first is None:
            tally.first = start + int((distances != 0).argmax())
        if largest > tally.max_ulp or (largest == tally.max_ulp and start < (tally.worst or 0)):
            tally.note_worst(largest, start + int(distances.argmax()))

    def _add_sizes(self, sizes: Array, actual: Array, expected: Array) -> None:
        tally = self._tally
        tally.max_abs = max(tally.max_abs, float(np.maximum.reduce(sizes)))
        ratios = self._ratios[: sizes.size]
        np.divide(sizes, expected, out=ratios)
        np.absolute(ratios, out=ratios)
        largest = np.fmax.reduce(ratios)  # 0/0 is NaN
        if float(largest) * (1 + 2.0**-20) > tally.max_rel:
            place = int((ratios == largest).argmax())
            tally.max_rel = max(tally.max_rel, _exact_ratio(float(actual[place]), float(expected[place])))


def _is_sparse(steps: Array) -> bool:
    return int(np.count_nonzero(steps)) * _SPARSE < steps.size


def _exact_ratio(actual: float, expected: float) -> float:
    return abs(actual - expected) / abs(expected) if expected else math.inf
