"""cpu_count: how many cores the run may use, and how many it is told of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect, Engine
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON


class CpuCountAxis(BuiltInAxis):
    """Restricts the affinity, and makes `os.cpu_count` agree with it.

    Needs a new interpreter: OpenMP, torch and others count the cores when they are loaded.
    """

    name: ClassVar[str] = "cpu_count"
    needs: ClassVar[Engine] = "spawn"

    def default_values(self, machine: Machine) -> list[JSON]:
        """All cores, and one."""
        return [machine.cores, 1]

    def unavailable(self, machine: Machine) -> str | None:
        """Needs an affinity that can be set, and two cores."""
        if not machine.can_set_affinity:
            return "this platform cannot restrict a process to some cores"
        return None if machine.cores > 1 else "this process may use one core only"

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Cores cannot be invented."""
        if isinstance(value, int) and value > machine.cores:
            return f"this process may use {machine.cores} cores only"
        return None

    def validate(self, value: JSON) -> None:
        """Take a whole number from 1."""
        if type(value) is not int or value < 1:
            raise UsageError(f"cpu_count: {value!r} is no number of cores (a whole number from 1)")

    def parse(self, text: str) -> JSON:
        """Read a whole number."""
        return int(text) if text.isdigit() else text

    def command_prefix(self, value: JSON) -> list[str]:
        """Restrict the cores before the interpreter loads anything that counts them."""
        tool = Machine.here().find_tool("taskset")
        return [tool, "-c", ",".join(map(str, _first_cores(value)))] if tool and value is not None else []

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Restrict the process (its threads and children follow) and what Python tells of it."""
        if not isinstance(value, int):
            yield
            return
        before = os.sched_getaffinity(0)
        told: dict[str, Any] = {
            name: getattr(os, name) for name in ("cpu_count", "process_cpu_count") if hasattr(os, name)
        }
        os.sched_setaffinity(0, _first_cores(value))
        for name in told:
            setattr(os, name, lambda: value)
        try:
            yield
        finally:
            for name, function in told.items():
                setattr(os, name, function)
            os.sched_setaffinity(0, before)

    def verify(self, value: JSON) -> Effect:
        """Read back the affinity and what Python tells."""
        observed: dict[str, JSON] = {"affinity": len(os.sched_getaffinity(0)), "os.cpu_count": os.cpu_count()}
        problems = tuple((n, f"says {seen}") for n, seen in observed.items() if value is not None and seen != value)
        return Effect(self.name, value, observed, problems)

    def describe(self, value: JSON) -> str:
        """Count the cores."""
        return "cores as they are" if value is None else f"{value} core{'s' if value != 1 else ''}"


def _first_cores(value: JSON) -> list[int]:
    assert isinstance(value, int)
    return sorted(os.sched_getaffinity(0))[:value]


AXIS = CpuCountAxis()
