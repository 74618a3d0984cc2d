"""process: a fresh interpreter for each run."""

from __future__ import annotations

import os
from typing import ClassVar

from pytest_repro.axes.base import Effect, EngineName
from pytest_repro.axes.integers import IntegerAxis
from pytest_repro.axes.machine import Machine
from pytest_repro.model import JSON


class ProcessAxis(IntegerAxis):
    """Values number the processes, which differ in addresses, process ids and entropy drawn at import."""

    name: ClassVar[str] = "process"
    needs: ClassVar[EngineName] = "spawn"
    hint: ClassVar[str] = "write across={'process': 3} for three processes"

    def default_values(self, machine: Machine) -> list[JSON]:
        return [0, 1]

    def forks_suffice(self, value: JSON) -> bool:
        """Return False for another process than the baseline's: only a fresh interpreter is one."""
        return not value

    def verify(self, value: JSON) -> Effect:
        return Effect(self.name, value, {"pid": os.getpid()})

    def describe(self, value: JSON) -> str:
        return f"process {value}" if value is not None else "process as is"


AXIS = ProcessAxis()
