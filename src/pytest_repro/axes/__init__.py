"""The axes: what of a run's condition can be varied, with which values, how, and whether it took effect."""

from __future__ import annotations

from pytest_repro.axes.applied import (
    Variation,
    apply_condition,
    arguments_of,
    describe_condition,
    environment_of,
    judge_effects,
    prefix_of,
    verify_condition,
)
from pytest_repro.axes.base import ENGINES, AxisContext, BuiltInAxis, Effect, Engine
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
    "Engine",
    "Isolation",
    "Machine",
    "PlannedAxis",
    "PlannedRun",
    "Variation",
    "apply_condition",
    "arguments_of",
    "check_arguments",
    "describe_condition",
    "environment_of",
    "find_axis",
    "is_built_in",
    "isolate",
    "judge_effects",
    "parse_across",
    "parse_across_option",
    "plan_conditions",
    "prefix_of",
    "verify_condition",
]
