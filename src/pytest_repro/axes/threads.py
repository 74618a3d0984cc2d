"""threads: the size of every pool of threads that a numerical library has."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.native import find_pools
from pytest_repro.axes.variables import set_variables
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

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
#: Left on, these let OpenMP and MKL use fewer threads than asked: MKL stops at the number of physical cores.
_NOT_DYNAMIC = {"OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE"}

_MAX_THREADS = 1024

#: Framework -> adapter with `get_threads`, `set_threads`.
_ADAPTERS = {"numba": "numba_axes", "torch": "torch_axes"}


class ThreadsAxis(BuiltInAxis):
    """Sets the variables for what is loaded later, and the pools of what is loaded already."""

    name: ClassVar[str] = "threads"
    variables: ClassVar[tuple[str, ...]] = (*COUNT_VARIABLES, *_NOT_DYNAMIC)

    def default_values(self, machine: Machine) -> list[JSON]:
        """One, two, and an odd number above the cores.

        Two threads hide a race (a + b = b + a); three summands do not commute, and more threads
        than cores shuffle them.
        """
        above = max(machine.cores + 1, 3)
        return [1, 2, above if above % 2 else above + 1]

    def validate(self, value: JSON) -> None:
        """Take a whole number from 1."""
        if type(value) is not int or not 1 <= value <= _MAX_THREADS:
            raise UsageError(f"threads: {value!r} is no number of threads (a whole number from 1 to {_MAX_THREADS})")

    def parse(self, text: str) -> JSON:
        """Read a whole number."""
        return int(text) if text.isdigit() else text

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Set every library's variable."""
        if value is None:
            return {}
        return {**dict.fromkeys(COUNT_VARIABLES, str(value)), **_NOT_DYNAMIC}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Set the pools that are there, and the variables for those that come."""
        if not isinstance(value, int):
            yield
            return
        with ExitStack() as stack:
            variables = self.environment(value)
            if "numba" in sys.modules:
                # Numba reads its variables again at each compilation, and fails where this one has changed.
                variables.pop("NUMBA_NUM_THREADS")
            stack.enter_context(set_variables(variables))
            # Numba first: it sets the OpenMP runtime to its own limit when its threads start. The bare pools last.
            for adapter in _find_adapters().values():
                stack.callback(adapter.set_threads, adapter.get_threads())
                adapter.set_threads(value)
            for pool in find_pools():
                stack.callback(pool.set_threads, pool.get_threads())
                pool.set_threads(value)
            yield

    def verify(self, value: JSON) -> Effect:
        """Read back every pool, also of what the run itself has loaded."""
        observed: dict[str, JSON] = {pool.name: int(pool.get_threads()) for pool in find_pools()}
        observed |= {framework: int(adapter.get_threads()) for framework, adapter in _find_adapters().items()}
        problems = []
        for component, seen in observed.items():
            if value is not None and seen != value:
                limit = _explain(component)
                problems.append((component, f"has {seen} thread{'s' if seen != 1 else ''}, not {value}{limit}"))
        return Effect(self.name, value, observed, tuple(problems))

    def describe(self, value: JSON) -> str:
        """Count the threads."""
        return "threads as they are" if value is None else f"{value} thread{'s' if value != 1 else ''}"


def _find_adapters() -> dict[str, Any]:
    return {
        framework: importlib.import_module(f"pytest_repro.frameworks.{module}")
        for framework, module in _ADAPTERS.items()
        if framework in sys.modules
    }


def _explain(component: str) -> str:
    return " (numba cannot go above NUMBA_NUM_THREADS at its import)" if component == "numba" else ""


AXIS = ThreadsAxis()
