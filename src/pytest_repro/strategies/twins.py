"""Pairs of arrays that are a known number of ulps apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.errors import UsageError
from pytest_repro.strategies.arrays import arrays
from pytest_repro.strategies.needs import load, st


def arrays_within_ulps(max_ulp: int, dtype: Any = "float64", shape: Any = None, *, max_side: int = 6) -> Any:
    """Generate pairs of finite arrays, no element of which is more than `max_ulp` representable steps apart.

    Parameters
    ----------
    max_ulp : int
    dtype : float16, float32 or float64
    shape : as for :func:`arrays`
    max_side : int

    Returns
    -------
    strategy of (ndarray, ndarray), of one shape and dtype, C-contiguous
        Steps are counted through zero, +0 and -0 being 0 apart; they stop at the largest finite number.
    """
    if isinstance(max_ulp, bool) or not isinstance(max_ulp, int) or max_ulp < 0:
        raise UsageError(f"max_ulp must be a whole number of at least 0, got {max_ulp!r}")
    numpy_strategies = load("hypothesis.extra.numpy", "hypothesis")
    finite = arrays(dtype, shape, allow_nan=False, allow_infinity=False, any_layout=False, max_side=max_side)

    def pair(first: NDArray[Any]) -> Any:
        steps = numpy_strategies.arrays(np.int64, first.shape, elements=st.integers(-max_ulp, max_ulp))
        return steps.map(lambda moved: (first, move_by_ulps(first, moved)))

    return finite.flatmap(pair)


def move_by_ulps(values: NDArray[Any], steps: NDArray[np.int64]) -> NDArray[Any]:
    """Move finite values by so many representable steps, through zero; stop at the largest finite number."""
    width = values.dtype.itemsize
    codes = values.view(f"i{width}").reshape(-1).tolist()
    lowest = 1 << (8 * width - 1)
    largest = int(np.finfo(values.dtype).max.view(f"i{width}"))
    moved = []
    for code, step in zip(codes, np.asarray(steps).reshape(-1).tolist(), strict=True):
        # Ordered: the codes of negative numbers run backwards in memory.
        ordered = code if code >= 0 else -(code + lowest)
        target = max(-largest, min(largest, ordered + step))
        if step == 0:
            moved.append(code)  # -0 stays -0
        else:
            moved.append(target if target >= 0 else -lowest - target)
    return np.array(moved, f"i{width}").view(values.dtype).reshape(values.shape)
