"""Threads inside numerical libraries."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from pytest_repro.axes.native import find_pools
from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Source
from pytest_repro.sources.patching import SourcePatches


class LibraryThreads(Source):
    """Pools of threads of torch, numba, BLAS and OpenMP, which have one thread each when they are pinned."""

    name = "threads"
    label = "threads of numerical libraries"
    pinned = "with one thread in each numerical library"
    code = "race.kernel"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "race.kernel": CauseWords(
            "threads inside a numerical library that add in the order in which they arrive",
            "one thread (n_jobs=1), an algorithm without atomic adds, or in torch use_deterministic_algorithms(True)",
        )
    }
    libraries: ClassVar[tuple[str, ...]] = ("torch", "scipy", "sklearn", "numba", "numpy")
    turn_within = 4

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        if self.name not in pins:
            return
        patches.call_adapter("torch_sources.pin_threads")
        if "numba" in sys.modules:
            # Before the bare pools: it sets the OpenMP runtime to its own limit when its threads start.
            numba_axes: Any = importlib.import_module("pytest_repro.frameworks.numba_axes")
            patches.callback(numba_axes.set_threads, numba_axes.get_threads())
            patches.call_adapter("numba_axes.pin_threads")
        for pool in find_pools():
            patches.callback(pool.set_threads, pool.get_threads())
            pool.set_threads(1)
