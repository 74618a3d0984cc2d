"""Seed numba's own generators; imported only where numba is loaded already."""

from __future__ import annotations

import random

import numba
import numpy as np


@numba.njit  # type: ignore[untyped-decorator]
def _seed(value: int) -> None:
    np.random.seed(value)
    random.seed(value)


def seed(value: int) -> None:
    """Seed the generators that compiled functions draw from, which are not NumPy's and Python's."""
    _seed(value)
