"""The same judgement without pytest: for a script, a notebook, another test runner."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_repro import seeding
from pytest_repro.axes import verify_condition
from pytest_repro.comparing.live import make_policy
from pytest_repro.engines.current import Repro
from pytest_repro.errors import DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import Artifacts, RunResult, TestResult, Tolerance, TolerancePolicy, Verdict
from pytest_repro.reporting.json_report import result_to_json
from pytest_repro.session.equivalence_axes import bind_assertions, split_across
from pytest_repro.session.findings import AxisFindings
from pytest_repro.session.judging import Judge
from pytest_repro.session.one_run import applied
from pytest_repro.session.planning import PlannedExecution, plan_runs
from pytest_repro.session.settings import TestSettings

Training = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Examination:
    """What the runs of a function showed; true only if they agreed.

    Attributes
    ----------
    verdict : Verdict
    message : str
        The text of the failure; empty if the runs agreed.
    """

    verdict: Verdict
    message: str
    result: TestResult

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __str__(self) -> str:
        return self.message or f"{len(self.result.runs)} runs: {self.verdict}"

    def to_json(self) -> dict[str, Any]:
        """Return every figure in built-in types, as `--repro-json` writes a test."""
        return result_to_json(self.result)


def examine(
    func: Training,
    *,
    runs: int = 2,
    across: Mapping[str, Any] | list[str] | None = None,
    seed: int = 0,
    seed_control: bool = False,
    tolerance: Tolerance | Mapping[str, Tolerance] | None = None,
    max_ulp: int = 0,
    rtol: float = 0.0,
    atol: float = 0.0,
    norm: float | None = None,
) -> Examination:
    """Run a function several times, seeded alike, and compare what it returns with what run 1 returned.

    Parameters
    ----------
    func : callable
        Called without arguments, but for `seed` and `repro`, which it gets if it has parameters so named.
        It returns the tree of results to compare, or captures them with ``repro.capture``.
    runs : int
        Runs in the same condition.
    across : list of axes, or mapping of axis or argument of `func` to values, optional
        What the result must not depend on; a run is added per further value. Axes that need a process of
        their own are for the pytest marker.
    seed : int
        Seed of every generator, set before each run.
    seed_control : bool
        Add a run with another seed, which must give another result.
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default.

    Returns
    -------
    Examination

    Raises
    ------
    UsageError
        If an argument is wrong.
    Exception
        Whatever `func` raises, from the run in which it does.
    """
    bounds = {"max_ulp": max_ulp, "rtol": rtol, "atol": atol, "norm": norm}
    axes, assertions = split_across(across)
    settings = _settings(func, runs, seed, seed_control, make_policy(tolerance, bounds), axes, tuple(assertions))
    name = getattr(func, "__qualname__", repr(func))
    plan = plan_runs(settings, inspect.signature(func).parameters, name)
    if plan.needs_processes:
        raise UsageError(
            f"the axes {', '.join(plan.axis_names)} need processes of their own: "
            "put the function into a test marked @pytest.mark.reproducible(across=...)"
        )
    result = TestResult(name, Verdict.ERROR, settings.seed)
    judge = Judge(settings, result, AxisFindings(plan.conditions, result) if plan.axis_names else None)
    state = seeding.save_state()
    try:
        for planned in plan.runs:
            run = RunResult(planned.index, planned.differs_in)
            result.runs.append(run)
            judge.take(run, _run_once(func, planned, run, judge, plan.axis_names, assertions), planned)
        if judge.suspect is not None:
            planned = judge.suspect
            run = RunResult(len(result.runs) + 1, planned.differs_in)
            result.runs.append(run)
            judge.take_device_repeat(_run_once(func, planned, run, judge, plan.axis_names, assertions))
    finally:
        # Only here: a flag that one run leaves changed must be felt by the next, and then be put back.
        result.notes += seeding.restore_state(state)
    message = ""
    try:
        judge.raise_unless_reproducible()
    except (DivergenceError, InconclusiveError) as error:
        message = str(error)
    return Examination(result.verdict, message, result)


def check_reproducible(func: Training, **arguments: Any) -> Verdict:
    """Return the verdict of :func:`examine`, which takes the same arguments; it is true only if the runs agreed."""
    return examine(func, **arguments).verdict


def assert_reproducible(func: Training, **arguments: Any) -> None:
    """Raise unless the runs of :func:`examine`, which takes the same arguments, agreed.

    Raises
    ------
    DivergenceError
        If a run differs from run 1 by more than what is allowed.
    InconclusiveError
        If there was nothing to compare.
    """
    __tracebackhide__ = True
    examination = examine(func, **arguments)
    if examination.verdict is Verdict.INCONCLUSIVE:
        raise InconclusiveError(examination.message)
    if not examination:
        raise DivergenceError(examination.message)


def _run_once(
    func: Training,
    planned: PlannedExecution,
    run: RunResult,
    judge: Judge,
    axes: list[str],
    assertions: Mapping[str, Any],
) -> Artifacts:
    current = planned.begin()
    parameters = inspect.signature(func).parameters
    given: dict[str, Any] = {name: value for name, value in planned.arguments.items() if name in parameters}
    given |= bind_assertions(assertions, current)
    run.equivalences = current.equivalences
    if "seed" in parameters:
        given.setdefault("seed", current.seed)
    if "repro" in parameters:
        given["repro"] = Repro(current)
    started = time.perf_counter()
    with (
        applied(planned, axes),
        seeding.seeds_on_import(current.seed),
    ):
        seeding.seed_everything(current.seed)
        current.take_returned(func(**given))
        judge.take_effects(planned, verify_condition(planned.complete, axes))
    current.close()
    run.duration_s = time.perf_counter() - started
    return current.artifacts


def _settings(
    func: Training,
    runs: int,
    seed: int,
    seed_control: bool,
    policy: TolerancePolicy,
    across: Any,
    assertions: tuple[str, ...],
) -> TestSettings:
    if not callable(func):
        raise UsageError(f"the first argument must be a function to run, got {type(func).__name__}")
    if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func):
        raise UsageError(
            "an async function or a generator cannot be run here: pass a plain function that returns the results"
        )
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
        raise UsageError(f"runs must be a whole number of at least 2, got {runs!r}")
    if not isinstance(seed_control, bool):
        raise UsageError(f"seed_control must be True or False, got {seed_control!r}")
    seed = seeding.check_seed(seed)
    return TestSettings(
        runs=runs,
        runs_are_given=True,
        policy=policy,
        seed=seed,
        base_seed=seed,
        seed_is_given=True,
        seed_control=seed_control,
        across=across,
        timeout_s=None,
        isolate=False,
        is_marked=True,
        takes_all=False,
        wants_digests=False,
        repeat_command="",
        assertions=assertions,
    )
