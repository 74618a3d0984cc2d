"""Evaluation of JAX functions with and without jax.jit, and JAX's options for the precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

#: Options by which the same code computes in other numbers.
_PRECISION_OPTIONS = ("jax_default_matmul_precision", "jax_enable_x64", "jax_numpy_dtype_promotion")


def run_jitted(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return a function's result when it is compiled as a whole."""
    return jax.block_until_ready(jax.jit(func)(*inputs))


def run_eagerly(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return a function's result with its own jits disabled."""
    with jax.disable_jit():
        return jax.block_until_ready(func(*inputs))


def holds_arrays(values: Sequence[Any]) -> bool:
    """Return whether the values or their trees contain a JAX array."""
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(list(values)))


def patch_precision(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, is_pinned: bool) -> None:
    """Note where the user's code sets such an option. A pinned one keeps its value."""
    config = type(jax.config)
    real = config.update

    def update(self: Any, name: str, value: Any) -> None:
        site = note("precision", f"jax.config.update({name!r}, {value!r})") if name in _PRECISION_OPTIONS else None
        if site is None or not is_pinned:
            real(self, name, value)

    put(config, "update", update)
