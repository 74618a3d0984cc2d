"""Optional compiled kernel for float32, float64 and bfloat16, used if the package was built with it.

It does in one pass over memory what takes NumPy ten. `dense` and `kinds` give the same figures without it, and measure
the blocks that it cannot (docs/adr/0021).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.numerics.blocks import BLOCK_BYTES
from pytest_repro.numerics.dense import DenseKernel, choose_numpy_kernel
from pytest_repro.numerics.kinds import Float
from pytest_repro.numerics.statistics import Tally

Array = NDArray[Any]

#: Bytes per side of one call, so that an interrupt need not wait for the end of a large array.
CALL_BYTES = 16 * 1024 * 1024

#: Version of `_fused.c` that this module needs. A shared object left over from another version is not used.
_VERSION = 2
_FORMATS = frozenset({"float32", "float64", "bfloat16"})
_MAX_ULP = 2**64 - 1


def _load() -> Callable[..., Any] | None:
    """Return the compiled function, or None if it was not built, cannot be loaded, or is switched off."""
    if os.environ.get("PYTEST_REPRO_PURE", "0") not in ("", "0"):
        return None
    try:
        from pytest_repro.numerics import _fused
    except ImportError:
        return None
    return _fused.measure if getattr(_fused, "VERSION", None) == _VERSION else None


_measure = _load()


def is_compiled() -> bool:
    """Return whether comparisons use the compiled kernel."""
    return _measure is not None


class FusedKernel:
    """Compiled kernel for blocks of one float dtype, which passes the parts that it cannot measure to NumPy."""

    def __init__(self, tally: Tally, elements: int) -> None:
        assert isinstance(tally.kind, Float)
        bound = tally.bound
        self._tally, self._elements = tally, elements
        self._format = tally.kind.fmt.name
        self._fallback_elements = BLOCK_BYTES // tally.kind.storage.itemsize
        self._bounds = (min(bound.max_ulp, _MAX_ULP), bound.rtol, bound.atol)

    @staticmethod
    def supports(tally: Tally) -> bool:
        """Return whether the compiled kernel is loaded and supports the dtype."""
        return _measure is not None and isinstance(tally.kind, Float) and tally.kind.fmt.name in _FORMATS

    def add_block(self, start: int, actual: Array, expected: Array) -> None:
        """Measure a block, whether or not its bytes differ, and add it to the norm of the expected side."""
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
                part = slice(done, done + self._fallback_elements)
                self._fallback.add_block(start + done, actual[part], expected[part])
                self._fallback.add_expected(expected[part])
                done = min(part.stop, size)

    @functools.cached_property
    def _fallback(self) -> DenseKernel | Tally:
        """The NumPy kernel, whose buffers are allocated only if it is needed."""
        return choose_numpy_kernel(self._tally, self._elements)

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
