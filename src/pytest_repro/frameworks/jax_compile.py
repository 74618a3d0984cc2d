"""Evaluation of a JAX function compiled by jax.jit, and operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax


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
