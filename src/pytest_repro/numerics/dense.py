"""The fast way through a block of floats of 16 bits or more where much differs by little, in preallocated buffers.

The general way (`kinds`) takes some thirty passes over a block. Where all distances are small, most of what it guards
against cannot be, and ten passes give the same figures.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.model import Tolerance
from pytest_repro.numerics.blocks import BLOCK_BYTES, unequal_parts
from pytest_repro.numerics.formats import FloatFormat
from pytest_repro.numerics.kinds import Float, Kind
from pytest_repro.numerics.norms import FLOAT32_TRUSTED, dot
from pytest_repro.numerics.statistics import Tally
from pytest_repro.numerics.ulps import Scratch, bit_length_counts, count_byte_lengths, whole_words

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
    Floats of 16 bits are widened to float32, which holds each of them and each such difference.
    """

    def __init__(self, tally: Tally, bound: Tolerance, elements: int) -> None:
        fmt, width = _format(tally.kind), tally.kind.storage.itemsize
        assert fmt is not None
        self._tally, self._bound = tally, bound
        self._signed, self._float = np.dtype(f"i{width}"), np.dtype(f"f{max(4, width)}")
        self._limit = 1 << (fmt.mantissa - 1)
        self._widens = width < self._float.itemsize
        block_elements = min(elements, BLOCK_BYTES // self._float.itemsize)
        self._most = block_elements
        self._steps = np.empty(block_elements, self._signed)
        self._floats = np.empty(block_elements, self._float)
        self._ratios = np.empty(block_elements, self._float)
        self._bytes = np.empty(block_elements + 7, np.int8)
        self._scratch = Scratch()

    @staticmethod
    def suits(tally: Tally, bound: Tolerance) -> bool:
        """Tell whether a comparison can use the fast way: floats of 16 bits or more, and no norm is asked for.

        A norm that judges is summed in float64 by the general way.
        """
        return _format(tally.kind) is not None and bound.norm is None

    def add_block(self, start: int, actual: Array, expected: Array) -> None:
        """Take in a block whose bytes differ."""
        if not self._looks_sparse(actual, expected):
            for offset in range(0, actual.size, self._most):
                part = slice(offset, offset + self._most)
                self._add_part(start + offset, actual[part], expected[part])
            return
        for part in unequal_parts(actual, expected, _SLICE):
            self._add_part(start + part.start, actual[part], expected[part])

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
        most, least = int(steps.argmax()), int(steps.argmin())
        largest = max(int(steps[most]), -int(steps[least]))
        if largest > self._limit:
            return False
        # The first of those farthest away: each of the two is the first of its value.
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
        counts[0] = 0  # the signs agree, so what is 0 steps apart is equal
        tally.add_histogram(counts)
        self._add_sizes(floats, left, right)
        return True

    def _distances(self, steps: Array, largest: int) -> Array:
        """Return the absolute values as unsigned integers, in bytes where they fit; `steps` may be overwritten."""
        if largest >= 128:
            np.absolute(steps, out=steps)
            return steps.view(f"u{steps.itemsize}")
        small = self._bytes[: steps.size]
        np.copyto(small, steps, casting="unsafe")
        np.absolute(small, out=small)
        return small.view(np.uint8)

    def _as_floats(self, codes: Array, side: str) -> Array:
        """Return the numbers that codes stand for; those of 16 bits as float32, which holds them all."""
        if not self._widens:
            return codes.view(self._float)
        kind = self._tally.kind
        assert isinstance(kind, Float)
        return kind.widen(codes, self._scratch.take(side, self._float, codes.size))

    def add_expected(self, expected: Array) -> None:
        """Take a block into the norm of the expected side."""
        if self._widens:
            self._tally.add_expected(expected)
            return
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
        """Count distances by their bit length; those in bytes are overwritten."""
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


def numpy_way(tally: Tally, elements: int) -> DenseKernel | Tally:
    """Return what measures blocks of arrays of so many elements: the fast way if it suits, else the general one."""
    return DenseKernel(tally, tally.bound, elements) if DenseKernel.suits(tally, tally.bound) else tally


def _format(kind: Kind) -> FloatFormat | None:
    """Return the format of a kind whose numbers have at least 16 bits."""
    return kind.fmt if isinstance(kind, Float) and kind.fmt.width >= 16 else None


def _is_sparse(steps: Array) -> bool:
    return int(np.count_nonzero(steps)) * _SPARSE < steps.size


def _exact_ratio(actual: float, expected: float) -> float:
    return abs(actual - expected) / abs(expected) if expected else math.inf
