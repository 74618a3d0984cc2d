"""process: a fresh interpreter for each run."""

from __future__ import annotations

import os
from typing import ClassVar

from pytest_repro.axes.base import BuiltInAxis, Effect, Engine
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON


class ProcessAxis(BuiltInAxis):
    """Values only count: what differs between fresh processes is addresses, process ids and import-time entropy."""

    name: ClassVar[str] = "process"
    needs: ClassVar[Engine] = "spawn"

    def default_values(self, machine: Machine) -> list[JSON]:
        """Two: the baseline's process and one more."""
        return [0, 1]

    def validate(self, value: JSON) -> None:
        """Take a whole number from 0."""
        if type(value) is not int or value < 0:
            raise UsageError(
                f"process: {value!r} is no number of a process; write across={{'process': 3}} for three of them"
            )

    def parse(self, text: str) -> JSON:
        """Read a whole number."""
        return int(text) if text.isdigit() else text

    def verify(self, value: JSON) -> Effect:
        """Tell the process by its id and where its code was loaded, which address randomisation moves."""
        return Effect(self.name, value, {"pid": os.getpid()})

    def describe(self, value: JSON) -> str:
        """Name the process by its number."""
        return f"process {value}" if value is not None else "process as is"


AXIS = ProcessAxis()
