"""Where jax compiles a function of the user's; imported only where jax is loaded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def note_compiling(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, is_left_out: bool) -> None:
    """Note `jax.jit`; where asked, leave the function as it is."""
    real = jax.jit

    def jit(function: Any = None, *args: Any, **kwargs: Any) -> Any:
        note("compile", "jax.jit")
        if not is_left_out:
            return real(*(() if function is None else (function,)), *args, **kwargs)
        return function if function is not None else lambda decorated: decorated

    put(jax, "jit", jit)
