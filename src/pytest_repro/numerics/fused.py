"""The compiled way through floats of 16 bits or more, where the package was built with it.

One pass over memory takes what NumPy needs ten for. It is an option: everything it does, `dense` and `kinds` do too,
with the same figures, and what it cannot do is left to them (docs/adr/0021).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.numerics.blocks import BLOCK_BYTES
from pytest_repro.numerics.dense import DenseKernel, numpy_way
from pytest_repro.numerics.kinds import Float
from pytest_repro.numerics.statistics import Tally

Array = NDArray[Any]

#: Bytes of a side that one call goes through, so that an interrupt need not wait for the end of a large array.
CALL_BYTES = 16 * 1024 * 1024

#: The release of `_fused.c` that this module was written for: a shared object left over from another is not used.
_VERSION = 2
_FORMATS = frozenset({"float32", "float64", "bfloat16"})
_LARGEST_ULP = 2**64 - 1


def _load() -> Callable[..., Any] | None:
    """Return the compiled function, or None where it was not built, does not load, or is not wanted."""
    if os.environ.get("PYTEST_REPRO_PURE", "0") not in ("", "0"):
        return None
    try:
        from pytest_repro.numerics import _fused
    except ImportError:
        return None
    return _fused.measure if getattr(_fused, "VERSION", None) == _VERSION else None


_measure = _load()


def is_compiled() -> bool:
    """Tell whether comparisons use the compiled loops."""
    return _measure is not None


class FusedKernel:
    """Measures blocks of one float dtype by the compiled loops; leaves those that need it to the ways of NumPy."""

    def __init__(self, tally: Tally, elements: int) -> None:
        assert isinstance(tally.kind, Float)
        bound = tally.bound
        self._tally, self._elements = tally, elements
        self._format = tally.kind.fmt.name
        self._handed_back = BLOCK_BYTES // tally.kind.storage.itemsize
        self._bounds = (min(bound.max_ulp, _LARGEST_ULP), bound.rtol, bound.atol)

    @staticmethod
    def suits(tally: Tally) -> bool:
        """Tell whether the compiled loops are there and know the dtype."""
        return _measure is not None and isinstance(tally.kind, Float) and tally.kind.fmt.name in _FORMATS

    def add_block(self, start: int, actual: Array, expected: Array) -> None:
        """Take in a block, whether or not its bytes differ, and its part of the norm of the expected side."""
        assert _measure is not None
        done, size = 0, expected.size
        while done < size:
            done, squares, largest, figures = _measure(actual, expected, self._format, done, size, *self._bounds)
            if squares:
                self._tally.expected_squares.add(squares)
            self._tally.max_expected = max(self._tally.max_expected, largest)
            if figures is not None:
                self._add_figures(start, *figures)
            if done < size:
                part = slice(done, done + self._handed_back)
                self._general.add_block(start + done, actual[part], expected[part])
                self._general.add_expected(expected[part])
                done = min(part.stop, size)

    @functools.cached_property
    def _general(self) -> DenseKernel | Tally:
        """The ways of NumPy; their buffers are made only where they are needed."""
        return numpy_way(self._tally, self._elements)

    def _add_figures(
        self,
        start: int,
        differing: int,
        over: int,
        first: int,
        max_ulp: int,
        worst: int,
        max_abs: float,
        max_rel: float,
        squares: float,
        lengths: tuple[int, ...],
    ) -> None:
        tally = self._tally
        tally.differing += differing
        tally.over += over
        if tally.first is None:
            tally.first = start + first
        tally.note_worst(max_ulp, start + worst)
        tally.add_histogram(np.array(lengths, np.int64))
        tally.max_abs, tally.max_rel = max(tally.max_abs, max_abs), max(tally.max_rel, max_rel)
        if squares:
            tally.difference_squares.add(squares)
