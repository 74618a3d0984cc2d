"""From what is asked of a test to the runs to make: seeds, conditions, tolerances, engine. Starts nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_repro.axes import (
    ENGINES,
    AxisRequest,
    ConditionPlan,
    Engine,
    arguments_of,
    check_arguments,
    find_axis,
    is_built_in,
    parse_across,
    parse_across_option,
    plan_conditions,
)
from pytest_repro.engines.current import CurrentRun
from pytest_repro.model import ANOTHER_SEED, JSON, REFERENCE, Condition, TolerancePolicy
from pytest_repro.seeding import derive_seed
from pytest_repro.session.equivalence_axes import check_assertions, split_across
from pytest_repro.session.settings import TestSettings

if TYPE_CHECKING:
    from pytest_repro.capturing import Spill

#: The axis whose value a test may also take as an argument.
DEVICE = "device"


@dataclass(frozen=True, slots=True)
class PlannedExecution:
    """One run to make.

    Attributes
    ----------
    index : int
        1 for the baseline.
    seed : int
    differs_in : Condition
        What is not the baseline's; shown to the user.
    complete : Condition
        All that the run is given.
    policy : TolerancePolicy
        What may differ from run 1.
    """

    index: int
    seed: int
    differs_in: Condition
    complete: Condition
    policy: TolerancePolicy

    @property
    def arguments(self) -> dict[str, JSON]:
        """Arguments that the test is called with in this run; the device too, if it takes one."""
        device = {DEVICE: self.device} if DEVICE in self.complete.as_dict() else {}
        return arguments_of(self.complete) | device

    @property
    def device(self) -> str:
        """Device that the run is to compute on."""
        return str(self.complete.as_dict().get(DEVICE) or "cpu")

    def begin(self, *, index: int | None = None, spill: Spill | None = None) -> CurrentRun:
        """Return what the test's fixtures see of the run, the same wherever it is made.

        Parameters
        ----------
        index : int, optional
            Number of a repeat within the run, as of an example.
        spill : Spill, optional
            Where what is captured goes beyond the memory limit.
        """
        number = self.index if index is None else index
        return CurrentRun(
            number, self.seed, self.differs_in, device=self.device, is_reference=self.is_reference, spill=spill
        )

    @property
    def is_reference(self) -> bool:
        """Whether the run is made in float64, for an automatic tolerance to judge by; it is compared with nothing."""
        return REFERENCE in self.complete.as_dict()

    @property
    def ignored_traits(self) -> tuple[str, ...]:
        """Traits in which this run's artifacts differ from run 1's by the nature of what was varied."""
        names = [name for name, _ in self.differs_in if is_built_in(name)]
        return tuple(trait for name in names for trait in find_axis(name).ignored_traits)


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of one test, made by one engine: the weakest that can do what is asked."""

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
    """Lay out a test's runs: repeats in the baseline's condition, a run per further condition, the seed control.

    Without an explicit number of runs, a test with axes is not repeated in the same condition: the runs along the
    axes are compared with run 1 as well, and a divergence is told apart from a plain repeat when it is taken apart.

    Raises
    ------
    UsageError
        If an axis cannot be varied on this machine, or the test lacks an argument that the marker names.
    """
    requests = tuple(
        replace(request, tolerance=settings.axis_tolerances.get(request.name, request.tolerance))
        for request in read_requests(settings.across, arguments, where)
    )
    check_assertions(settings.assertions, arguments, where)
    conditions = plan_conditions(requests) if requests else ConditionPlan()
    # An assertion makes its own trials, and repeats its own baseline.
    is_varied = conditions.runs or settings.assertions
    repeats = 1 if is_varied and not settings.runs_are_given else settings.runs
    own = settings.policy
    entries = [(settings.seed, Condition(), own)] * repeats
    if any(isinstance(run.tolerance, TolerancePolicy) and run.tolerance.auto for run in conditions.runs):
        # Before the runs that it judges; on the CPU, since not every device computes in float64.
        reference: tuple[tuple[str, JSON], ...] = ((REFERENCE, "float64"),)
        is_elsewhere = conditions.baseline.as_dict().get(DEVICE, "cpu") != "cpu"
        entries.append((settings.seed, Condition((*reference, *([(DEVICE, "cpu")] if is_elsewhere else []))), own))
    for run in conditions.runs:
        entries.append(
            (settings.seed, run.condition, own if run.tolerance is None else TolerancePolicy.of(run.tolerance))
        )
    if settings.seed_control:
        other = derive_seed(settings.seed, ANOTHER_SEED)
        entries.append((other, Condition(((ANOTHER_SEED, other),)), own))
    runs = tuple(
        PlannedExecution(index, seed, differs, _complete(conditions, differs), policy)
        for index, (seed, differs, policy) in enumerate(entries, start=1)
    )
    engines: tuple[Engine, ...] = (conditions.needs, "fork" if settings.isolate else "in_process")
    return Plan(runs, conditions, max(engines, key=ENGINES.index))


def read_requests(across: object, arguments: Collection[str], where: str) -> tuple[AxisRequest, ...]:
    """Read the marker's across=, or the command line's text, and check it against the test's arguments.

    Assertions among a marker's axes are left out: they are no values to vary.

    Raises
    ------
    UsageError
    """
    across, assertions = split_across(across)
    check_assertions(assertions, arguments, where)
    requests = parse_across_option(across) if isinstance(across, str) else parse_across(across)
    return check_arguments(requests, arguments, where)


def baseline_arguments(across: object, arguments: Collection[str], where: str) -> dict[str, JSON]:
    """Return the baseline's value of each axis that is an argument of the test."""
    requests = read_requests(across, arguments, where)
    given = {request.name: request.values[0] for request in requests if request.kind == "argument" and request.values}
    if DEVICE in arguments and any(request.name == DEVICE for request in requests):
        given[DEVICE] = "cpu"
    return given


def collected_arguments(marked: object, option: object, arguments: Collection[str]) -> dict[str, Any]:
    """Return what the arguments that are axes hold before a run sets them: the baseline's values, plain assertions.

    Parameters
    ----------
    marked : object
        The marker's across=; the test is given its assertions and the first value of its arguments even where the
        command line varies other axes, since it could not be called without.
    option : object
        The command line's, or the ini file's where no marker says anything; else None.
    arguments : collection of str
        Names of what the test and its fixtures take.

    Raises
    ------
    UsageError
    """
    assertions = split_across(marked)[1]
    given: dict[str, Any] = {}
    for across in (marked, option):
        given |= baseline_arguments(across, arguments, "") if across is not None else {}
    return given | {name: assertion for name, assertion in assertions.items() if name in arguments}


def _complete(conditions: ConditionPlan, differs: Condition) -> Condition:
    """Return all that a run is given; of what is no axis, that it is a reference, which the run must know."""
    axes = Condition(tuple((name, value) for name, value in differs if name not in (ANOTHER_SEED, REFERENCE)))
    kept = tuple((name, value) for name, value in differs if name == REFERENCE)
    return Condition((*conditions.complete(axes), *kept))
