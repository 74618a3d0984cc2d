"""A JAX function through jax.jit, against the same function evaluated operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax


def run_jitted(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return what a function gives compiled as a whole."""
    return jax.block_until_ready(jax.jit(func)(*inputs))


def run_eagerly(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return what a function gives with its own jits switched off."""
    with jax.disable_jit():
        return jax.block_until_ready(func(*inputs))


def holds_arrays(values: Sequence[Any]) -> bool:
    """Tell whether a JAX array is among the values or in their trees."""
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(list(values)))
