"""JAX's functions that take a seed. Imported only if jax is loaded."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax


def patch_seeding(put: Callable[[Any, str, Any], None], note: Callable[..., Any]) -> None:
    """Note the seeds from which keys are made, also while a function is traced, which keeps them as constants."""
    for name in ("PRNGKey", "key"):
        put(jax.random, name, _seeding(getattr(jax.random, name), note))


def _seeding(real: Callable[..., Any], note: Callable[..., Any]) -> Callable[..., Any]:
    def make(seed: Any, *args: Any, **kwargs: Any) -> Any:
        with suppress(Exception):  # a seed that is itself traced has no value
            note("seeding", f"jax {operator.index(seed)}")
        return real(seed, *args, **kwargs)

    return make
