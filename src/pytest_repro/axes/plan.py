"""The conditions of a test's runs, chosen so that a passing test needs few of them.

Built-in axes with the same tolerance are varied together: run j takes the j-th value of each. An argument of the test
is varied in runs of its own, with every other axis at the baseline. It changes which code runs, and code that avoids a
fault (``fast_path=True``) would otherwise hide the fault from the axes varied at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_repro.axes.base import ENGINES, EngineName
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.spec import ENVIRONMENT_AXES, AxisRequest, canonical
from pytest_repro.axes.table import find_axis, is_built_in
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON, Condition, Tolerance, TolerancePolicy


@dataclass(frozen=True, slots=True)
class PlannedAxis:
    """One axis that is varied: its values (the baseline's first) and its tolerance."""

    name: str
    kind: str
    values: tuple[JSON, ...]
    tolerance: Tolerance | TolerancePolicy | None = None
    needs: EngineName = "in_process"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run beyond the baseline.

    Attributes
    ----------
    condition : Condition
        The axes whose value differs from the baseline's, and no others.
    tolerance : Tolerance, TolerancePolicy or None
        Allowed differences in this run. ``None``: the test's own.
    """

    condition: Condition
    tolerance: Tolerance | TolerancePolicy | None = None


@dataclass(frozen=True, slots=True)
class ConditionPlan:
    """The axes, and the condition of each run.

    Attributes
    ----------
    axes : tuple of PlannedAxis
    baseline : Condition
        The first value of every axis, without the built-in ones at ``None`` (unchanged).
    runs : tuple of PlannedRun
        Runs in addition to the baseline's.
    unavailable : tuple of (axis, reason)
        Axes that ``all`` requests and that cannot be varied here.
    notes : tuple of str
        A sentence for each value that this machine does not have.
    """

    axes: tuple[PlannedAxis, ...] = ()
    baseline: Condition = field(default_factory=Condition)
    runs: tuple[PlannedRun, ...] = ()
    unavailable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def needs(self) -> EngineName:
        """The weakest engine that can make every run, including the baseline's."""
        return max((axis.needs for axis in self.axes), key=ENGINES.index, default="in_process")

    def complete(self, condition: Condition) -> Condition:
        """Return everything that a run is given: the baseline's values, overlaid with the condition's."""
        values = self.baseline.as_dict() | condition.as_dict()
        return _condition((axis.name, values.get(axis.name)) for axis in self.axes)


def _condition(values: Iterable[tuple[str, JSON]]) -> Condition:
    """Return a condition without unchanged built-in axes. For an argument, ``None`` is a value like any other."""
    return Condition(tuple((name, value) for name, value in values if value is not None or not is_built_in(name)))


def plan_conditions(requests: Iterable[AxisRequest], machine: Machine | None = None) -> ConditionPlan:
    """Plan the runs that vary the requested axes.

    The number of runs beyond the baseline is, summed over the tolerances in use, the largest number of values of a
    built-in axis less one, plus the number of values less one of each argument. The requests are those that
    :func:`~pytest_repro.axes.parse.check_arguments` returned.

    Raises
    ------
    UsageError
        If an axis named by the user cannot be varied on this machine, or `env` sets what another axis owns.
    """
    machine = machine or Machine.here()
    axes: list[PlannedAxis] = []
    unavailable: list[tuple[str, str]] = []
    notes: list[str] = []
    for request in requests:
        if request.kind == "argument":
            assert request.values is not None
            axes.append(PlannedAxis(request.name, "argument", request.values, request.tolerance))
            continue
        values, reason = _find_values(request, machine, notes)
        if not reason:
            needs = find_axis(request.name).needs
            axes.append(PlannedAxis(request.name, "built_in", values, request.tolerance, needs))
        elif request.is_optional or find_axis(request.name).may_be_missing:
            unavailable.append((request.name, reason))
        else:
            raise UsageError(f"the axis {request.name!r} cannot be varied on this machine: {reason}; omit it here")
    _reject_conflicts(axes)
    baseline = _condition((axis.name, axis.values[0]) for axis in axes)
    return ConditionPlan(tuple(axes), baseline, tuple(_plan_runs(axes)), tuple(unavailable), tuple(notes))


def _find_values(request: AxisRequest, machine: Machine, notes: list[str]) -> tuple[tuple[JSON, ...], str]:
    """Return the values that this machine has, or the reason why the axis cannot be varied."""
    axis = find_axis(request.name)
    if reason := axis.unavailable(machine):
        return (), reason
    values = request.values if request.values is not None else tuple(axis.default_values(machine))
    kept, reasons = [], []
    for value in values:
        reason = None if value is None else axis.unavailable_value(value, machine)
        if reason:
            reasons.append(f"{axis.describe(value)} is not varied: {reason}")
        else:
            kept.append(value)
    if len(kept) < 2:
        return (), "; ".join(reasons) or "it has fewer than two values to compare"
    notes.extend(reasons)
    return tuple(kept), ""


def _plan_runs(axes: list[PlannedAxis]) -> Iterable[PlannedRun]:
    groups: list[tuple[Tolerance | TolerancePolicy | None, list[PlannedAxis]]] = []
    for axis in axes:
        if axis.kind == "argument":
            groups.append((axis.tolerance, [axis]))
            continue
        for tolerance, members in groups:
            if members[0].kind == "built_in" and _is_same(tolerance, axis.tolerance):
                members.append(axis)
                break
        else:
            groups.append((axis.tolerance, [axis]))
    for tolerance, members in groups:
        for run in range(1, max(len(axis.values) for axis in members)):
            taken = ((axis, axis.values[run % len(axis.values)]) for axis in members)
            differing = tuple((axis.name, v) for axis, v in taken if canonical(v) != canonical(axis.values[0]))
            yield PlannedRun(Condition(differing), tolerance)


def _is_same(one: Tolerance | TolerancePolicy | None, other: Tolerance | TolerancePolicy | None) -> bool:
    """Return whether two tolerances are equal and have the same reference, which equality does not compare."""
    if one is None or other is None or isinstance(one, TolerancePolicy) or isinstance(other, TolerancePolicy):
        return one is other
    return one == other and one.reference is other.reference


def _reject_conflicts(axes: list[PlannedAxis]) -> None:
    """Reject an environment variable that two axes would set: only one of them would be varied."""
    if set(ENVIRONMENT_AXES) <= {axis.name for axis in axes if axis.kind == "built_in"}:
        raise UsageError("across= varies python and host at once, and a run is made in one environment: omit one")
    owners = {v: axis.name for axis in axes if axis.kind == "built_in" for v in find_axis(axis.name).variables}
    for axis in axes:
        if axis.name != "env" or not is_built_in(axis.name):
            continue
        for value in axis.values:
            for variable in value if isinstance(value, dict) else ():
                if variable in owners:
                    raise UsageError(
                        f"across= varies {variable} twice: in env and by the axis {owners[variable]!r}; "
                        f"omit one of the two"
                    )
