"""Where JAX is told to compute in another precision; imported only where JAX is loaded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

#: Options by which the same code computes in other numbers.
_PRECISION = ("jax_default_matmul_precision", "jax_enable_x64", "jax_numpy_dtype_promotion")


def note_precision(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, is_left_out: bool) -> None:
    """Note where the user's code sets such an option; where asked, leave the option as it is."""
    config = type(jax.config)
    real = config.update

    def update(self: Any, name: str, value: Any) -> None:
        if (
            name in _PRECISION
            and note("precision", f"jax.config.update({name!r}, {value!r})") is not None
            and is_left_out
        ):
            return
        real(self, name, value)

    put(config, "update", update)
