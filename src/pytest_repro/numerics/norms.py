"""Sums of squares that neither overflow nor underflow, even for values such as 1e200 or 1e-200."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# BLAS starts threads for dot products of long vectors (OpenBLAS from 10,000), which would compete with user code.
_DOT_LENGTH = 4096
# In this range a sum of float64 squares is exact enough: underflow or overflow cannot have changed it noticeably.
_TRUSTED = (1e-250, 1e300)
#: The same for sums of float32 squares in float32.
FLOAT32_TRUSTED = (1e-24, 1e36)
_FEW_ROWS = 64
_ONES = {char: np.ones(_FEW_ROWS, char) for char in "fd"}


def dot(block: NDArray[Any]) -> float:
    """Return the sum of squares of a float32 or float64 block, in the block's own precision."""
    count, rest = divmod(block.size, _DOT_LENGTH)
    total = 0.0
    if rest:
        tail = block[-rest:]
        total = float(tail.dot(tail))
        block = block[:-rest]
    if count:
        squares = _dot_rows(block.reshape(count, _DOT_LENGTH))
        # For few rows, a dot product with ones takes a quarter of the time that a reduction takes to start.
        few = count <= _FEW_ROWS
        total += float(squares.dot(_ONES[squares.dtype.char][:count]) if few else squares.sum(dtype=np.float64))
    return total


def _dot_each(rows: NDArray[Any]) -> NDArray[Any]:
    return np.array([np.dot(row, row) for row in rows])


def _dot_together(rows: NDArray[Any]) -> NDArray[Any]:
    squares: NDArray[Any] = np.vecdot(rows, rows)
    return squares


_dot_rows = _dot_together if hasattr(np, "vecdot") else _dot_each  # vecdot is new in NumPy 2


class SquareSum:
    """A growing sum of squares, as ``value * 4**exponent``."""

    __slots__ = ("_exponent", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._exponent = 0

    def add_values(self, values: NDArray[Any]) -> None:
        """Add the squares of the finite elements."""
        if values.dtype == np.float64:
            total = dot(values)
            if _TRUSTED[0] < total < _TRUSTED[1]:
                self.add(total)
                return
        values = np.abs(values[np.isfinite(values)])
        largest = values.max(initial=0)
        if not largest:
            return
        exponent = int(np.frexp(largest)[1])
        self.add(dot(np.ldexp(values, -exponent).astype(np.float64)), exponent)

    def add(self, value: float, exponent: int = 0) -> None:
        """Add ``value * 4**exponent``."""
        if not self._value or exponent > self._exponent + 500:
            self._value, self._exponent = value, exponent  # the previous sum is below the rounding error
        elif exponent >= self._exponent - 500:
            self._value += math.ldexp(value, 2 * (exponent - self._exponent))

    def ratio(self, other: SquareSum) -> float:
        """Return the square root of self / other, with 0/0 = 0."""
        if not self._value:
            return 0.0
        if not other._value:
            return math.inf
        shift = self._exponent - other._exponent
        root = math.sqrt(self._value) / math.sqrt(other._value)
        try:
            return math.ldexp(root, shift)
        except OverflowError:
            return math.inf

    def mean_root(self, count: int) -> float:
        """Return the root mean square over `count` elements."""
        return math.ldexp(math.sqrt(self._value / count), self._exponent) if count else 0.0
