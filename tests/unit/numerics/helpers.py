"""Distances of single elements, computed by the function that comparisons use."""

from __future__ import annotations

import numpy as np

from pytest_repro.numerics.formats import carrier_of, format_of
from pytest_repro.numerics.ulps import code_distance


def count_steps(actual: np.ndarray, expected: np.ndarray, dtype: str = "") -> list[int]:
    """Return the steps between the finite elements of two arrays of a float format."""
    fmt = format_of(dtype or expected.dtype.name)
    assert fmt is not None
    codes = [np.ascontiguousarray(side).view(carrier_of(fmt.width)) for side in (actual, expected)]
    return code_distance(fmt, *codes).tolist()
