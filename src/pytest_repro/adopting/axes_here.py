"""The axes that this machine can vary, and what each costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass

from pytest_repro.axes.machine import Machine
from pytest_repro.axes.parse import parse_across
from pytest_repro.axes.plan import plan_conditions
from pytest_repro.axes.spec import BUILT_IN_NAMES, ENVIRONMENT_AXES, WITHOUT_DEFAULTS
from pytest_repro.axes.table import find_axis
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: Seconds after which the start of an interpreter is not measured any longer.
MAX_START_S = 60


@dataclass(frozen=True, slots=True)
class AxisHere:
    """One built-in axis on this machine.

    Attributes
    ----------
    why_not : str
        Why it cannot be varied. Empty if it can.
    values : list of JSON
        Its default values, the baseline's first.
    needs : str
        The weakest engine that varies it.
    runs : int
        Runs of each test beyond the baseline.
    starts : int
        Interpreters that a session starts for it, or each test if `is_each_test`.
    """

    name: str
    why_not: str
    values: tuple[JSON, ...] = ()
    needs: str = ""
    runs: int = 0
    starts: int = 0
    is_each_test: bool = False


def describe_axes(environments: Collection[str] = (), machine: Machine | None = None) -> list[AxisHere]:
    """Return each built-in axis, its default values and their cost, given the project's named `environments`."""
    machine = machine or Machine.here()
    return [_describe(name, environments, machine) for name in BUILT_IN_NAMES]


def _describe(name: str, environments: Collection[str], machine: Machine) -> AxisHere:
    axis = find_axis(name)
    if name == "device" and len(axis.default_values(machine)) < 2:
        return AxisHere(name, str(axis.unavailable_value("cuda", machine)), needs=axis.needs)
    if name in WITHOUT_DEFAULTS:
        why_not = "needs values: only you know which ones matter"
        if name in ENVIRONMENT_AXES and environments:
            why_not = f"needs values; the project names {', '.join(sorted(environments))}"
        return AxisHere(name, why_not, needs=axis.needs)
    try:
        plan = plan_conditions(parse_across([name]), machine)
    except UsageError as error:
        return AxisHere(name, str(error), needs=axis.needs)
    planned = next((each for each in plan.axes if each.name == name), None)
    if planned is None or not plan.runs:
        reasons = [*plan.notes, *(reason for _, reason in plan.unavailable)]
        return AxisHere(name, reasons[0] if reasons else "it has one value here", needs=axis.needs)
    if planned.needs == "in_process":
        return AxisHere(name, "", planned.values, planned.needs, len(plan.runs))
    # A fork server is started once in a session for each value, and forks for every test.
    forks = machine.system == "linux" and all(axis.forks_suffice(each) for each in planned.values if each is not None)
    return AxisHere(name, "", planned.values, planned.needs, len(plan.runs), len(planned.values), not forks)


def measure_start() -> float | None:
    """Return how long this interpreter takes to start and to import pytest and NumPy [s], or None.

    Nothing of the project is imported: the interpreter is isolated from the current folder and its variables.
    """
    started = time.perf_counter()
    try:
        subprocess.run(
            [sys.executable, "-I", "-c", "import pytest, numpy"], capture_output=True, check=True, timeout=MAX_START_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return time.perf_counter() - started
