"""Seed numba's own generators, and note where it compiles; imported only where numba is loaded already."""

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
    """Seed the generators that compiled functions draw from, which are not NumPy's and Python's."""
    _seed(value)


def note_compiling(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, is_left_out: bool) -> None:
    """Note numba's decorators; where asked, leave the function as it is."""
    for name in ("jit", "njit", "vectorize"):
        put(numba, name, _compiling(getattr(numba, name), f"numba.{name}", note, is_left_out=is_left_out))


def _compiling(
    real: Callable[..., Any], what: str, note: Callable[..., Any], *, is_left_out: bool
) -> Callable[..., Any]:
    def compile_(*args: Any, **kwargs: Any) -> Any:
        note("compile", what)
        if not is_left_out:
            return real(*args, **kwargs)
        return args[0] if args and callable(args[0]) else lambda decorated: decorated

    return compile_


def pin_threads(put: Callable[[Any, str, Any], None]) -> None:
    """Use one thread from now on, whatever the code asks for; `put` replaces an attribute for a while."""
    numba.set_num_threads(1)
    put(numba, "set_num_threads", lambda n: None)
