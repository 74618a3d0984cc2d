"""Compilers of the user's code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Source
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import note

#: Framework -> its functions that take a function, or options and return a decorator.
_COMPILERS = {"torch": ("compile",), "jax": ("jit",), "numba": ("jit", "njit", "vectorize")}
#: Names of the parameter that takes the function.
_PARAMETERS = ("model", "fun", "signature_or_function")


class Compilers(Source):
    """Compilers of torch, JAX and numba, which return the function as it is when they are pinned."""

    name = "compile"
    label = "compilers"
    pinned = "without compiling"
    code = "compile.jit"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "compile.jit": CauseWords(
            "compiled code, which computes in another order or type",
            "compare within a tolerance for this axis, or compile in both",
        )
    }
    kinds: ClassVar[tuple[str, ...]] = ("compile",)
    is_searched = False

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        for framework in _COMPILERS:
            patch = functools.partial(_patch_framework, patches, framework, is_pinned=self.name in pins)
            patches.once_loaded(framework, patch)


def _patch_framework(patches: SourcePatches, framework: str, *, is_pinned: bool) -> None:
    module = sys.modules[framework]
    for name in _COMPILERS[framework]:
        patches.put(module, name, _noted(getattr(module, name), f"{framework}.{name}", is_pinned=is_pinned))


def _noted(real: Callable[..., Any], what: str, *, is_pinned: bool) -> Callable[..., Any]:
    def compile_(*args: Any, **kwargs: Any) -> Any:
        note("compile", what)
        if not is_pinned:
            return real(*args, **kwargs)
        given = args[0] if args else next((kwargs[name] for name in _PARAMETERS if name in kwargs), None)
        return given if callable(given) else lambda decorated: decorated

    return compile_
