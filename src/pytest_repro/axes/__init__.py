"""The axes that a run's condition can vary: their values, how each is varied, and how its effect is read back."""

from __future__ import annotations

from pytest_repro.axes.base import ENGINES, AxisContext, BuiltInAxis, Effect, EngineName
from pytest_repro.axes.isolate import Isolation, isolate
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.parse import check_arguments, parse_across, parse_across_option
from pytest_repro.axes.plan import ConditionPlan, PlannedAxis, PlannedRun, plan_conditions
from pytest_repro.axes.spec import BUILT_IN_NAMES, Axis, AxisRequest
from pytest_repro.axes.table import find_axis, is_built_in

__all__ = [
    "BUILT_IN_NAMES",
    "ENGINES",
    "Axis",
    "AxisContext",
    "AxisRequest",
    "BuiltInAxis",
    "ConditionPlan",
    "Effect",
    "EngineName",
    "Isolation",
    "Machine",
    "PlannedAxis",
    "PlannedRun",
    "check_arguments",
    "find_axis",
    "is_built_in",
    "isolate",
    "parse_across",
    "parse_across_option",
    "plan_conditions",
]
