"""threads: the size of every thread pool of the numerical libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from pytest_repro.axes.base import AxisContext, Effect
from pytest_repro.axes.integers import IntegerAxis, count_of
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.native import find_adapters, find_pools
from pytest_repro.axes.patches import set_variables
from pytest_repro.model import JSON
from pytest_repro.tracing.user_code import is_user_file

#: Variables that libraries read when they are loaded.
COUNT_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
#: If these are on, OpenMP and MKL may use fewer threads than requested. MKL stops at the number of physical cores.
_NOT_DYNAMIC = {"OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE"}

#: Frameworks whose adapters have `get_threads` and `set_threads`. Numba is set first: it sets the OpenMP runtime to its
#: own limit when its threads start.
_FRAMEWORKS = ("numba", "torch", "pyarrow")
#: Pool -> why it may not have the requested number.
_LIMITS = {
    "numba": " (numba cannot go above NUMBA_NUM_THREADS at its import)",
    "polars": " (polars keeps the number at its import: add process, for fresh interpreters)",
}


class ThreadsAxis(IntegerAxis):
    """Sets the pools of the libraries that are loaded already, and the variables that others read when loaded."""

    name: ClassVar[str] = "threads"
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = 1024
    variables: ClassVar[tuple[str, ...]] = (*COUNT_VARIABLES, *_NOT_DYNAMIC)

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return one, two, and an odd number above the number of cores.

        Two threads hide a race, since a + b = b + a. The order of three summands matters, and more threads than cores
        shuffle them.
        """
        above = max(machine.cores + 1, 3)
        return [1, 2, above if above % 2 else above + 1]

    def environment(self, value: JSON) -> dict[str, str | None]:
        if value is None:
            return {}
        return {**dict.fromkeys(COUNT_VARIABLES, str(value)), **_NOT_DYNAMIC}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Set the pools of the libraries that are loaded, and the variables of all."""
        if not isinstance(value, int):
            yield
            return
        with ExitStack() as stack:
            variables = self.environment(value)
            if "numba" in sys.modules:
                # Numba reads its variables again at each compilation, and fails if this one has changed.
                variables.pop("NUMBA_NUM_THREADS")
            stack.enter_context(set_variables(variables))
            for adapter in find_adapters(*_FRAMEWORKS).values():
                stack.callback(adapter.set_threads, adapter.get_threads())
                adapter.set_threads(value)
            if "duckdb" in sys.modules:
                duckdb_axes = find_adapters("duckdb")["duckdb"]
                stack.enter_context(duckdb_axes.threads_set(value, is_user_file))
            # After the frameworks, which set pools too.
            for pool in find_pools():
                stack.callback(pool.set_threads, pool.get_threads())
                pool.set_threads(value)
            yield

    def verify(self, value: JSON) -> Effect:
        """Read back every pool, including those of libraries that the run has loaded."""
        observed = {pool.name: int(pool.get_threads()) for pool in find_pools()}
        observed |= {
            framework: int(adapter.get_threads()) for framework, adapter in find_adapters(*_FRAMEWORKS).items()
        }
        if "polars" in sys.modules and (started := find_adapters("polars")["polars"].count_started()):
            observed["polars"] = int(started)
        problems = []
        for component, seen in observed.items():
            if value is not None and seen != value:
                limit = _LIMITS.get(component, "")
                problems.append((component, f"has {count_of(seen, 'thread')}, not {value}{limit}"))
        return Effect(self.name, value, dict(observed), tuple(problems))

    def describe(self, value: JSON) -> str:
        return count_of(value, "thread") if isinstance(value, int) else "threads as they are"


AXIS = ThreadsAxis()
