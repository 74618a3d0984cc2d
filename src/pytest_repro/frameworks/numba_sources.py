"""numba's own generators and threads. Imported only where numba is loaded already."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


@numba.njit  # type: ignore[untyped-decorator]
def _seed(value: int) -> None:
    np.random.seed(value)
    random.seed(value)


def seed(value: int) -> None:
    """Seed the generators that compiled functions draw from, which are neither NumPy's nor Python's."""
    _seed(value)


def pin_threads(put: Callable[[Any, str, Any], None]) -> None:
    """Use one thread from now on, whatever the code asks for."""
    numba.set_num_threads(1)
    put(numba, "set_num_threads", lambda n: None)
