"""The plan of one test: its runs with their seeds, conditions and tolerances, and the engine that they need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from pytest_repro.axes import ENGINES, ConditionPlan, Engine, check_arguments, plan_conditions
from pytest_repro.engines.base import DEVICE, PlannedExecution
from pytest_repro.model import ANOTHER_SEED, JSON, REFERENCE, Condition, TolerancePolicy
from pytest_repro.seeding import derive_seed
from pytest_repro.session.across import check_assertions
from pytest_repro.session.settings import TestSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of one test, made by one engine: the weakest that can make them."""

    runs: tuple[PlannedExecution, ...]
    conditions: ConditionPlan
    engine: Engine

    @property
    def needs_processes(self) -> bool:
        """Whether the runs cannot be made in this process."""
        return self.engine != "in_process"

    @property
    def axis_names(self) -> list[str]:
        """Axes that are varied."""
        return [axis.name for axis in self.conditions.axes]


def plan_runs(settings: TestSettings, arguments: Collection[str], where: str) -> Plan:
    """Plan a test's runs: repeats in the baseline's condition, a run per further condition, the seed control.

    Without an explicit number of runs, a test with axes is not repeated in the same condition: the runs along the
    axes are compared with run 1 as well, and a divergence is distinguished from that of a plain repeat later.

    Parameters
    ----------
    settings : TestSettings
    arguments : collection of str
        Names of the test's arguments.
    where : str
        Node id, for messages.

    Raises
    ------
    UsageError
        If an axis cannot be varied on this machine, or the test lacks an argument that the marker names.
    """
    check_assertions(settings.assertions, arguments, where)
    requests = [
        replace(request, tolerance=settings.axis_tolerances.get(request.name, request.tolerance))
        for request in check_arguments(settings.requests, arguments, where)
    ]
    conditions = plan_conditions(requests) if requests else ConditionPlan()
    # An assertion makes its own trials, and repeats its own baseline.
    is_varied = conditions.runs or settings.assertions
    repeats = 1 if is_varied and not settings.runs_are_given else settings.runs
    own = settings.policy
    entries = [(settings.seed, Condition(), own)] * repeats
    if any(isinstance(run.tolerance, TolerancePolicy) and run.tolerance.auto for run in conditions.runs):
        # Before the runs that it judges, and on the CPU, since not every device computes in float64.
        reference: tuple[tuple[str, JSON], ...] = ((REFERENCE, "float64"),)
        is_elsewhere = conditions.baseline.as_dict().get(DEVICE, "cpu") != "cpu"
        entries.append((settings.seed, Condition((*reference, *([(DEVICE, "cpu")] if is_elsewhere else []))), own))
    for run in conditions.runs:
        policy = own if run.tolerance is None else TolerancePolicy.of(run.tolerance)
        entries.append((settings.seed, run.condition, policy))
    if settings.seed_control:
        other = derive_seed(settings.seed, ANOTHER_SEED)
        entries.append((other, Condition(((ANOTHER_SEED, other),)), own))
    runs = tuple(
        PlannedExecution(index, seed, differs, _complete(conditions, differs), policy)
        for index, (seed, differs, policy) in enumerate(entries, start=1)
    )
    engines: tuple[Engine, ...] = (conditions.needs, "fork" if settings.isolate else "in_process")
    return Plan(runs, conditions, max(engines, key=ENGINES.index))


def _complete(conditions: ConditionPlan, differs: Condition) -> Condition:
    """Return everything that a run is given: all axes, and whether it is a float64 reference."""
    axes = Condition(tuple((name, value) for name, value in differs if name not in (ANOTHER_SEED, REFERENCE)))
    kept = tuple((name, value) for name, value in differs if name == REFERENCE)
    return Condition((*conditions.complete(axes), *kept))
