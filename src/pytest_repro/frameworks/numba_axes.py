"""What the axes set and read in numba; imported only where numba is loaded already."""

from __future__ import annotations

from typing import Any

import numba


def get_threads() -> int:
    """Return how many threads a parallel function uses."""
    return int(numba.get_num_threads())


def set_threads(count: int) -> None:
    """Use as many threads as asked, or the number fixed when numba started its own, whichever is smaller."""
    config: Any = numba.config
    if count > config.NUMBA_NUM_THREADS and not _has_started():
        # The limit is only read when the threads start.
        config.NUMBA_NUM_THREADS = count
    numba.set_num_threads(min(count, config.NUMBA_NUM_THREADS))


def read_cpu_kernels() -> dict[str, str]:
    """Return the processor that functions are compiled for."""
    config: Any = numba.config
    return {"numba": f"{config.CPU_NAME or 'host'} {config.CPU_FEATURES or ''}".strip()}


def _has_started() -> bool:
    from numba.np.ufunc import parallel

    return bool(parallel._is_initialized)
