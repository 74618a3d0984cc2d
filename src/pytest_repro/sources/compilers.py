"""Where code of the user's is compiled: noted, and left out where asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from pytest_repro.sources.sightings import note

#: Framework -> functions of it that take a function, or options and give a decorator.
COMPILERS = {"torch": ("compile",), "jax": ("jit",), "numba": ("jit", "njit", "vectorize")}
#: What the function is called where it is given by name.
_NAMES = ("model", "fun", "signature_or_function")


def patch_compilers(framework: str, put: Callable[[Any, str, Any], None], *, leaves_out: bool) -> None:
    """Note the compilers of a framework that is loaded; where asked, leave functions as they are."""
    module = sys.modules[framework]
    for name in COMPILERS[framework]:
        put(module, name, _noted(getattr(module, name), f"{framework}.{name}", leaves_out=leaves_out))


def _noted(real: Callable[..., Any], what: str, *, leaves_out: bool) -> Callable[..., Any]:
    def compile_(*args: Any, **kwargs: Any) -> Any:
        note("compile", what)
        if not leaves_out:
            return real(*args, **kwargs)
        given = args[0] if args else next((kwargs[name] for name in _NAMES if name in kwargs), None)
        return given if callable(given) else lambda decorated: decorated

    return compile_
