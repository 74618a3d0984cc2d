"""numba's threads, target processor and generators. Imported only if numba is loaded."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def get_threads() -> int:
    """Return the number of threads of a parallel function, without starting them as numba's own function does."""
    from numba.np.ufunc import parallel

    return int(numba.get_num_threads()) if parallel._is_initialized else _read_limit()


def set_threads(count: int) -> None:
    """Use `count` threads, or fewer if numba was imported with a lower limit."""
    numba.set_num_threads(min(count, _read_limit()))


def pin_threads(put: Callable[[Any, str, Any], None], note: Callable[..., Any]) -> None:
    """Use one thread from now on, whatever the code asks for."""
    numba.set_num_threads(1)
    put(numba, "set_num_threads", lambda n: None)


def _read_limit() -> int:
    config: Any = numba.config
    return int(config.NUMBA_NUM_THREADS)


def read_cpu_kernels() -> dict[str, str]:
    """Return the processor that functions are compiled for."""
    config: Any = numba.config
    return {"numba": f"{config.CPU_NAME or 'host'} {config.CPU_FEATURES or ''}".strip()}


def seed(value: int) -> None:
    """Seed the generators that compiled functions draw from, which are neither NumPy's nor Python's."""
    _seed(value)


@numba.njit  # type: ignore[untyped-decorator]
def _seed(value: int) -> None:
    np.random.seed(value)
    random.seed(value)
