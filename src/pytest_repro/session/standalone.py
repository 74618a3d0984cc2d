"""The same judgement without pytest: for a script, a notebook, another test runner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_repro import seeding
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import make_policy
from pytest_repro.engines.function import FunctionEngine
from pytest_repro.errors import DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import TestResult, Tolerance, TolerancePolicy, Verdict
from pytest_repro.reporting.json_report import result_to_json
from pytest_repro.session.across import Across
from pytest_repro.session.equivalence_axes import bind_assertions
from pytest_repro.session.findings import AxisFindings
from pytest_repro.session.flow import TestFlow, plan_runs
from pytest_repro.session.judging import Judge
from pytest_repro.session.settings import TestSettings

Training = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of running a function several times. True only if the runs are identical or within tolerance.

    Attributes
    ----------
    verdict : Verdict
    message : str
        The text of the failure. Empty if there is none.
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
    """Run a function several times, seeded alike, and compare its results with those of run 1.

    Parameters
    ----------
    func : callable
        Called without arguments, except for `seed` and `repro` if it has parameters of these names. It returns the
        tree of results to compare, or captures them with ``repro.capture``.
    runs : int
        Runs in the same condition.
    across : list of axes, or mapping of axis or argument of `func` to values, optional
        Axes that the result must not depend on. Each further value adds a run. Axes that need a process of their own
        are for the pytest marker.
    seed : int
        Seed of every generator, set before each run.
    seed_control : bool
        Add a run with another seed, which must give another result.
    tolerance, max_ulp, rtol, atol, norm
        Allowed differences. None by default.

    Returns
    -------
    Examination

    Raises
    ------
    UsageError
        If an argument is wrong.
    Exception
        Any error that `func` raises. A skip or an exit in a later run only is a divergence instead.
    """
    bounds = {"max_ulp": max_ulp, "rtol": rtol, "atol": atol, "norm": norm}
    settings = _settings(func, runs, seed, seed_control, make_policy(tolerance, bounds), Across.parse(across))
    name = getattr(func, "__qualname__", repr(func))
    plan = plan_runs(settings, inspect.signature(func).parameters, name)
    if plan.engine != "in_process":
        raise UsageError(
            f"the axes {', '.join(plan.axis_names)} need processes of their own: "
            "put the function into a test marked @pytest.mark.reproducible(across=...)"
        )
    result = TestResult(name, Verdict.ERROR, settings.seed)
    judge = Judge(settings, result, AxisFindings(plan.conditions, result) if plan.axis_names else None)
    engine = FunctionEngine(func, axes=plan.axis_names, bind=partial(bind_assertions, settings.assertions))
    flow = TestFlow(plan, judge, engine)
    state = seeding.save_state()
    message = ""
    try:
        if flow.run() is not None:
            message = str(judge.describe_ending(result.runs[-1]))
    except (DivergenceError, InconclusiveError) as error:
        if error is not flow.failure:
            raise  # by the function itself
        message = str(error)
    finally:
        # Only here: the next run must see a flag that the one before left changed.
        result.notes += seeding.restore_state(state)
    return Examination(result.verdict, message, result)


def check_reproducible(func: Training, **arguments: Any) -> Verdict:
    """Return the verdict of :func:`examine`, which takes the same arguments. True only for a pass."""
    return examine(func, **arguments).verdict


@judged
def assert_reproducible(func: Training, **arguments: Any) -> None:
    """Raise unless the verdict of :func:`examine`, which takes the same arguments, is a pass.

    Raises
    ------
    DivergenceError
        If a run differs from run 1 by more than the tolerance.
    InconclusiveError
        If there was nothing to compare.
    """
    __tracebackhide__ = True
    examination = examine(func, **arguments)
    if examination.verdict is Verdict.INCONCLUSIVE:
        raise InconclusiveError(examination.message)
    if not examination:
        raise DivergenceError(examination.message)


def _settings(
    func: Training,
    runs: int,
    seed: int,
    seed_control: bool,
    policy: TolerancePolicy,
    across: Across,
) -> TestSettings:
    if not callable(func):
        raise UsageError(f"the first argument must be a function to run, got {type(func).__name__}")
    if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func):
        raise UsageError(
            "an async function or a generator cannot be run here: pass a plain function that returns the results"
        )
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
        raise UsageError(f"runs must be an integer >= 2, got {runs!r}")
    if not isinstance(seed_control, bool):
        raise UsageError(f"seed_control must be True or False, got {seed_control!r}")
    seed = seeding.check_seed(seed)
    return TestSettings(
        runs=runs,
        runs_are_given=True,
        policy=policy,
        seed=seed,
        seed_control=seed_control,
        requests=across.requests,
        timeout_s=None,
        isolate=False,
        is_marked=True,
        takes_all=False,
        wants_digests=False,
        repeat_command="",
        assertions=across.assertions,
    )
