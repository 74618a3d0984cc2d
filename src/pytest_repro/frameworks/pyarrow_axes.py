"""Arrow's pool of threads. Imported only if pyarrow is loaded."""

from __future__ import annotations

import pyarrow


def get_threads() -> int:
    """Return the number of threads that compute."""
    return int(pyarrow.cpu_count())


def set_threads(count: int) -> None:
    """Set the number of threads that compute."""
    pyarrow.set_cpu_count(count)
