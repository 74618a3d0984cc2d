"""Comparison of two blocks of floats of 16 bits or more that differ in many places by little.

The general path (`kinds`) takes some thirty passes over a block. Where all distances are small, most of the cases that
it handles cannot occur, and ten passes in preallocated buffers give the same figures.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.numerics.blocks import BLOCK_BYTES, unequal_parts
from pytest_repro.numerics.formats import FloatFormat
from pytest_repro.numerics.kinds import Float, Kind
from pytest_repro.numerics.norms import FLOAT32_TRUSTED, dot
from pytest_repro.numerics.statistics import Tally
from pytest_repro.numerics.ulps import Scratch, bit_length_counts, count_byte_lengths, whole_words

Array = NDArray[Any]

#: If fewer than one element in 8 differs, picking them out is cheaper.
_SPARSE = 8
_SAMPLE = 1024
_SLICE = 16384


class DenseKernel:
    """Fast path for blocks of one float dtype, which passes blocks that it cannot handle to the general path.

    Notes
    -----
    With s the codes read as signed integers, ``|s_a - s_e|`` modulo 2**w is the distance in steps if the signs match.
    If they do not, it is at least ``2**m + 1`` for finite numbers with m bits of fraction: the sum of the magnitudes
    is at most twice the largest finite one. So a largest distance of at most ``2**(m-1)`` proves that the signs match
    if both sides are finite, which a finite sum of squared differences proves. It also proves that the subtraction of
    the floats is exact: the numbers lie less than a factor of 2 apart, or are few multiples of the smallest subnormal.
    Floats of 16 bits are widened to float32, which holds each of them and each such difference.
    """

    def __init__(self, tally: Tally, elements: int) -> None:
        fmt, width = _format(tally.kind), tally.kind.storage.itemsize
        assert fmt is not None
        self._tally = tally
        self._signed, self._float = np.dtype(f"i{width}"), np.dtype(f"f{max(4, width)}")
        self._limit = 1 << (fmt.mantissa - 1)
        self._widens = width < self._float.itemsize
        block_elements = min(elements, BLOCK_BYTES // self._float.itemsize)
        self._max_elements = block_elements
        self._steps = np.empty(block_elements, self._signed)
        self._floats = np.empty(block_elements, self._float)
        self._ratios = np.empty(block_elements, self._float)
        self._bytes = np.empty(block_elements + 7, np.int8)
        self._scratch = Scratch()

    @staticmethod
    def supports(tally: Tally) -> bool:
        """Return whether the fast path can measure a comparison: floats of 16 bits or more, without a `norm` bound.

        A norm that decides the verdict is summed in float64 by the general path.
        """
        return _format(tally.kind) is not None and tally.bound.norm is None

    def add_block(self, start: int, actual: Array, expected: Array) -> None:
        """Measure a block whose bytes differ."""
        if not _looks_sparse(actual, expected):
            for offset in range(0, actual.size, self._max_elements):
                part = slice(offset, offset + self._max_elements)
                self._add_part(start + offset, actual[part], expected[part])
            return
        for part in unequal_parts(actual, expected, _SLICE):
            self._add_part(start + part.start, actual[part], expected[part])

    def _add_part(self, start: int, actual: Array, expected: Array) -> None:
        if not self.add_dense(start, actual, expected):
            self._tally.add_block(start, actual, expected)

    def add_dense(self, start: int, actual: Array, expected: Array) -> bool:
        """Measure a block and return True, or return False with the tally unchanged."""
        size, tally = actual.size, self._tally
        steps = self._steps[:size]
        np.subtract(actual.view(self._signed), expected.view(self._signed), out=steps)
        most, least = int(steps.argmax()), int(steps.argmin())
        largest = max(int(steps[most]), -int(steps[least]))
        if largest > self._limit:
            return False
        # The first of the elements with the largest distance: argmax and argmin each return the first of their value.
        worst = min(place for place in (most, least) if abs(int(steps[place])) == largest)
        distances = self._distances(steps, largest)
        differing = int(np.count_nonzero(distances))
        if differing * _SPARSE < size:
            return False
        left, right = self._as_floats(actual, "actual"), self._as_floats(expected, "expected")
        floats = self._floats[:size]
        np.subtract(left, right, out=floats)
        squares = self._square_sum(floats)
        if not math.isfinite(squares):
            return False  # a NaN or an infinity on either side leaves no finite difference
        tally.difference_squares.add(squares)
        tally.differing += differing
        np.absolute(floats, out=floats)
        tally.over += self._count_over(distances, largest, differing, floats, right)
        if tally.first is None:
            tally.first = start + int((distances != 0).argmax())
        tally.note_worst(largest, start + worst)
        counts = self._count_lengths(distances, largest)
        counts[0] = 0  # the signs match, so elements 0 steps apart are equal
        tally.add_histogram(counts)
        self._add_sizes(floats, left, right)
        return True

    def _distances(self, steps: Array, largest: int) -> Array:
        """Return the absolute values as unsigned integers, in bytes if they fit. `steps` may be overwritten."""
        if largest >= 128:
            np.absolute(steps, out=steps)
            return steps.view(f"u{steps.itemsize}")
        small = self._bytes[: steps.size]
        np.copyto(small, steps, casting="unsafe")
        np.absolute(small, out=small)
        return small.view(np.uint8)

    def _as_floats(self, codes: Array, side: str) -> Array:
        """Return the numbers that codes represent, with 16-bit formats widened to float32."""
        if not self._widens:
            return codes.view(self._float)
        kind = self._tally.kind
        assert isinstance(kind, Float)
        return kind.widen(codes, self._scratch.take(side, self._float, codes.size))

    def add_expected(self, expected: Array) -> None:
        """Add a block to the norm of the expected side."""
        if self._widens:
            self._tally.add_expected(expected)
            return
        total = self._square_sum(expected.view(self._float))
        if math.isfinite(total):
            self._tally.expected_squares.add(total)
        else:
            self._tally.add_expected(expected)

    def _square_sum(self, values: Array) -> float:
        """Return the sum of squares, not finite if it needs float64 or the values hold NaN or infinity."""
        total = dot(values)
        if self._float.itemsize == 4 and not FLOAT32_TRUSTED[0] < total < FLOAT32_TRUSTED[1] and not math.isnan(total):
            total = dot(values.astype(np.float64))
        if total < 1e-250 and self._float.itemsize == 8:
            return math.inf
        return total

    def _count_over(self, distances: Array, largest: int, differing: int, sizes: Array, expected: Array) -> int:
        """Count the elements that no bound admits."""
        bound = self._tally.bound
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
        """Count distances by their bit length. Distances in bytes are overwritten."""
        if distances.itemsize > 1:
            return bit_length_counts(distances, self._scratch)
        return count_byte_lengths(whole_words(self._bytes.view(np.uint8), distances.size), distances.size, largest)

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


def choose_numpy_kernel(tally: Tally, elements: int) -> DenseKernel | Tally:
    """Return the fast path for arrays of `elements` elements if it supports them, otherwise the general path."""
    return DenseKernel(tally, elements) if DenseKernel.supports(tally) else tally


def _format(kind: Kind) -> FloatFormat | None:
    """Return the float format of a kind of at least 16 bits, otherwise None."""
    return kind.fmt if isinstance(kind, Float) and kind.fmt.width >= 16 else None


def _looks_sparse(actual: Array, expected: Array) -> bool:
    steps = actual[:_SAMPLE] - expected[:_SAMPLE]
    return int(np.count_nonzero(steps)) * _SPARSE < steps.size


def _exact_ratio(actual: float, expected: float) -> float:
    return abs(actual - expected) / abs(expected) if expected else math.inf
