"""Draws and clocks that JAX bakes into a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax._src.interpreters.partial_eval as partial_eval

from pytest_repro.frameworks.base_reached import Watching

#: Functions that call the user's function with tracers, by the releases that have them.
_TRACERS = ("trace_to_jaxpr", "trace_to_jaxpr_dynamic")


def watched(watching: Watching) -> list[Callable[[], None]]:
    """Watch what a run traces. Nothing is to be done when it ends."""
    for name in _TRACERS:
        real = getattr(partial_eval, name, None)
        if callable(real):
            watching.put(partial_eval, name, _traced(real, watching))
    return []


def _traced(real: Callable[..., Any], watching: Watching) -> Callable[..., Any]:
    def trace(function: Any, *args: Any, **kwargs: Any) -> Any:
        with watching.baked(function):
            return real(function, *args, **kwargs)

    return trace
