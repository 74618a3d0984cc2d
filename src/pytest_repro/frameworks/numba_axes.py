"""Settings of numba for the axes. Imported only if numba is loaded."""

from __future__ import annotations

from typing import Any

import numba


def get_threads() -> int:
    """Return the number of threads of a parallel function, without starting them as numba's own function does."""
    from numba.np.ufunc import parallel

    return int(numba.get_num_threads()) if parallel._is_initialized else _read_limit()


def set_threads(count: int) -> None:
    """Use `count` threads, or fewer if numba was imported with a lower limit."""
    numba.set_num_threads(min(count, _read_limit()))


def read_cpu_kernels() -> dict[str, str]:
    """Return the processor that functions are compiled for."""
    config: Any = numba.config
    return {"numba": f"{config.CPU_NAME or 'host'} {config.CPU_FEATURES or ''}".strip()}


def _read_limit() -> int:
    config: Any = numba.config
    return int(config.NUMBA_NUM_THREADS)
