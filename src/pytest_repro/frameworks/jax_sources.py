"""JAX's options for the precision. Imported only where JAX is loaded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

#: Options by which the same code computes in other numbers.
_OPTIONS = ("jax_default_matmul_precision", "jax_enable_x64", "jax_numpy_dtype_promotion")


def patch_precision(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, is_pinned: bool) -> None:
    """Note where the user's code sets such an option. A pinned one keeps its value."""
    config = type(jax.config)
    real = config.update

    def update(self: Any, name: str, value: Any) -> None:
        site = note("precision", f"jax.config.update({name!r}, {value!r})") if name in _OPTIONS else None
        if site is None or not is_pinned:
            real(self, name, value)

    put(config, "update", update)
