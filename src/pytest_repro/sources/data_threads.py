"""Threads inside Arrow, Polars and DuckDB, each pinned by itself, so that the cause names the library."""

from __future__ import annotations

import importlib
import sys
from typing import Any, ClassVar

from pytest_repro.sources.base import Pin, Situation, Source
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.tracing.user_code import is_user_file

_ADVICE = "or sort the result by a key, and sum floats in a fixed order"


class _DataThreads(Source):
    code = "race.kernel"
    turn_within = 3

    def is_suggested(self, situation: Situation) -> bool:
        return bool(situation.libraries & set(self.libraries))


class ArrowThreads(_DataThreads):
    """The pool that Arrow computes with."""

    name = "arrow_threads"
    label = "threads of Arrow"
    pinned = "with one thread in Arrow"
    library = "pyarrow"
    libraries: ClassVar[tuple[str, ...]] = ("pyarrow",)
    fix = f"use_threads=False, or pyarrow.set_cpu_count(1); {_ADVICE}"

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        if self.name in pins and "pyarrow" in sys.modules:
            adapter: Any = importlib.import_module("pytest_repro.frameworks.pyarrow_axes")
            patches.callback(adapter.set_threads, adapter.get_threads())
            adapter.set_threads(1)


class PolarsThreads(_DataThreads):
    """The pool of Polars, whose size is fixed when it is imported."""

    name = "polars_threads"
    label = "threads of Polars"
    pinned = "with one thread in Polars"
    library = "polars"
    libraries: ClassVar[tuple[str, ...]] = ("polars",)
    fix = f"POLARS_MAX_THREADS=1 before polars is imported, or maintain_order=True; {_ADVICE}"

    # Read when polars is imported.
    pin: ClassVar[Pin | None] = Pin("polars_threads", environment={"POLARS_MAX_THREADS": "1"})
    turn_within = 0


class DuckDBThreads(_DataThreads):
    """The threads of each database of DuckDB."""

    name = "duckdb_threads"
    label = "threads of DuckDB"
    pinned = "with one thread in DuckDB"
    library = "duckdb"
    libraries: ClassVar[tuple[str, ...]] = ("duckdb",)
    fix = f"connect(config={{'threads': 1}}), or ORDER BY a key; {_ADVICE}"

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        if self.name in pins and "duckdb" in sys.modules:
            adapter: Any = importlib.import_module("pytest_repro.frameworks.duckdb_axes")
            patches.enter_context(adapter.threads_set(1, is_user_file, is_forced=True))
