"""cpu_count: the number of cores that the run may use, and that Python reports to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from pytest_repro.axes.base import REPLACED, AxisContext, Effect, EngineName
from pytest_repro.axes.builtin_calls import real_function, redirected
from pytest_repro.axes.integers import IntegerAxis, count_of
from pytest_repro.axes.machine import Machine
from pytest_repro.model import JSON
from pytest_repro.undisturbed import was_replaced

_cpu_count = os.cpu_count
_sysconf: Callable[..., int] = os.sysconf if hasattr(os, "sysconf") else lambda name: -1
_real_sysconf = real_function(_sysconf)
#: Names under which `os.sysconf` counts cores.
_COUNTS = ("SC_NPROCESSORS_ONLN", "SC_NPROCESSORS_CONF")


class CpuCountAxis(IntegerAxis):
    """Restricts the affinity, and makes `os.cpu_count` report it.

    Needs a new interpreter: OpenMP, torch and others count the cores when they are loaded.
    """

    name: ClassVar[str] = "cpu_count"
    needs: ClassVar[EngineName] = "spawn"
    least: ClassVar[int] = 1

    def default_values(self, machine: Machine) -> list[JSON]:
        return [machine.cores, 1]

    def unavailable(self, machine: Machine) -> str | None:
        """Require an affinity that can be set, and two cores."""
        if not machine.can_set_affinity:
            return "this platform cannot restrict a process to some cores"
        return None if machine.cores > 1 else "this process may use only one core"

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        if isinstance(value, int) and value > machine.cores:
            return f"this process may use only {machine.cores} cores"
        return None

    def command_prefix(self, value: JSON) -> list[str]:
        """Return a command that restricts the cores before the interpreter loads anything that counts them."""
        tool = shutil.which("taskset")
        return [tool, "-c", ",".join(map(str, _first_cores(value)))] if tool and value is not None else []

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Restrict the process, its threads and children, and the numbers that Python reports."""
        if not isinstance(value, int):
            yield
            return

        def sysconf(name: int | str) -> int:
            numbers = [os.sysconf_names.get(count) for count in _COUNTS]
            return value if name in _COUNTS or name in numbers else _real_sysconf(name)

        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, _first_cores(value))
        try:
            # `os.process_cpu_count` counts the cores of the affinity by itself.
            with redirected({_cpu_count: lambda: value, _sysconf: sysconf}):
                yield
        finally:
            os.sched_setaffinity(0, before)

    def verify(self, value: JSON) -> Effect:
        """Read back the affinity and the number that Python reports."""
        counted = REPLACED if was_replaced(os, "cpu_count", _cpu_count) else _cpu_count()
        observed: dict[str, JSON] = {"affinity": len(os.sched_getaffinity(0)), "os.cpu_count": counted}
        problems = tuple((n, f"reports {seen}") for n, seen in observed.items() if value is not None and seen != value)
        return Effect(self.name, value, observed, problems)

    def describe(self, value: JSON) -> str:
        return count_of(value, "core") if isinstance(value, int) else "cores as they are"


def _first_cores(value: JSON) -> list[int]:
    assert isinstance(value, int)
    return sorted(os.sched_getaffinity(0))[:value]


AXIS = CpuCountAxis()
