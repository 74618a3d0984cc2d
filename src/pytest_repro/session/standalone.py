"""The same judgement without pytest: for a script, a notebook, another test runner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pytest_repro import seeding
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import make_policy
from pytest_repro.engines.function import FunctionEngine
from pytest_repro.errors import ChildError, DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import TestResult, Tolerance, TolerancePolicy, Verdict
from pytest_repro.model.codec import decode, encode
from pytest_repro.model.reported import ReportedTest
from pytest_repro.reporting.failure import wrapped
from pytest_repro.reporting.json_report import result_to_json
from pytest_repro.session.across import Across
from pytest_repro.session.equivalence_axes import bind_assertions
from pytest_repro.session.findings import AxisFindings
from pytest_repro.session.flow import TestFlow, plan_runs
from pytest_repro.session.judging import Judge
from pytest_repro.session.own_session import run_sent
from pytest_repro.session.sent_source import source_of
from pytest_repro.session.settings import TestSettings
from pytest_repro.session.written_values import NotSendableError

Training = Callable[..., Any]


@dataclass(frozen=True, slots=True, repr=False)
class Examination:
    """The result of running a function several times. True only if the runs are identical or within tolerance.

    A notebook shows it as a small table.

    Attributes
    ----------
    verdict : Verdict
    message : str
        The text of the failure. Empty if there is none.
    result : ReportedTest
        Every figure, without secrets.

    Examples
    --------
    >>> found = examine(lambda: sum(range(4)))
    >>> found.verdict
    <Verdict.IDENTICAL: 'identical'>
    >>> print(found)
    2 runs: identical
    """

    verdict: Verdict
    message: str
    result: ReportedTest

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __str__(self) -> str:
        lines = [f"{len(self.result.runs)} runs: {self.verdict}"]
        lines += [line for note in self.result.notes for line in wrapped("note", note)]
        for value in self.result.not_compared:
            lines += wrapped("", f"not compared: {value.name} ({value.type}): {value.reason}")
        return self.message or "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from pytest_repro.reporting.html.examined import examination_table

        return examination_table(self.result, self.message)

    def to_json(self) -> dict[str, Any]:
        """Return every figure in built-in types, as `--repro-json` writes a test."""
        document: dict[str, Any] = encode(self.result)
        return document


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
    diagnose: bool = False,
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
        Axes that the result must not depend on. Each further value adds a run. For axes that need processes of their
        own the function is sent there as source, with the imports, functions, classes, constants and NumPy arrays that
        it reads.
    seed : int
        Seed of every generator, set before each run.
    seed_control : bool
        Add a run with another seed, which must give another result.
    tolerance, max_ulp, rtol, atol, norm
        Allowed differences. None by default.
    diagnose : bool
        Find out why runs differ, with more runs in processes of their own. This takes up to 30 s of CPU.

    Returns
    -------
    Examination

    Raises
    ------
    UsageError
        If an argument is wrong, or an axis needs other processes and the function cannot be sent there.
    ChildError
        If the function raises an error in another process.
    Exception
        Any error that `func` raises in this process. A skip or an exit in a later run only is a divergence instead.

    Examples
    --------
    >>> import random
    >>> def train(seed):
    ...     return {"weights": [random.gauss(0, 1) for _ in range(3)]}
    >>> bool(examine(train, runs=3))
    True
    >>> drawn = iter([0.25, 0.5])
    >>> examine(lambda: next(drawn)).verdict
    <Verdict.DIVERGED: 'diverged'>
    """
    __tracebackhide__ = True
    bounds = {"max_ulp": max_ulp, "rtol": rtol, "atol": atol, "norm": norm}
    settings = _settings(func, runs, seed, seed_control, make_policy(tolerance, bounds), Across.parse(across))
    name = getattr(func, "__qualname__", repr(func))
    plan = plan_runs(settings, inspect.signature(func).parameters, name)
    if not isinstance(diagnose, bool):
        raise UsageError(f"diagnose must be True or False, got {diagnose!r}")
    given = {"seed": settings.seed, "seed_control": seed_control, "across": across, "tolerance": settings.policy}
    # Without a number of runs the marker leaves the repeat out that `examine` makes.
    sending = _Sending(func, name, {"runs": runs} | {key: value for key, value in given.items() if value is not None})
    if plan.engine != "in_process":
        try:
            return sending.examine(diagnose=diagnose)
        except NotSendableError as error:
            raise UsageError(
                f"the axes {', '.join(plan.axis_names)} need processes of their own, and the function cannot be sent "
                f"there: {error}. Or put it into a test marked @pytest.mark.reproducible(across=...)"
            ) from None
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
    found = Examination(result.verdict, message, decode(ReportedTest, result_to_json(result)))
    return sending.explain(found) if diagnose and found.verdict is Verdict.DIVERGED else found


@dataclass(frozen=True, slots=True)
class _Sending:
    """A function that may be run in a session of its own, with the marker's arguments."""

    func: Training
    name: str
    arguments: Mapping[str, Any]

    def examine(self, *, diagnose: bool) -> Examination:
        """Make all runs there."""
        function = inspect.unwrap(self.func)
        called = _name_of(function)
        parameters = [*inspect.signature(self.func).parameters]
        varied = [name for name in parameters if name in (self.arguments.get("across") or ())]
        passed = [f"{name}={name}" for name in varied]
        passed += [f"{name}={text}" for name, text in _FROM_REPRO.items() if name in parameters and name not in varied]
        body = f"    return {called}({', '.join(passed)})"
        taken = ", ".join(["repro", *varied])
        source = source_of(self.func, called)
        found = run_sent(source, self.name, body, self.arguments, parameters=taken, diagnose=diagnose)
        return Examination(found.test.verdict, found.message, found.test)

    def explain(self, found: Examination) -> Examination:
        """Add the causes that a session of its own finds to a divergence. Its verdict stays."""
        try:
            sent = self.examine(diagnose=True)
        except (NotSendableError, ChildError) as error:
            return with_note(found, f"not diagnosed: {error}")
        if sent.verdict is not Verdict.DIVERGED:
            return with_note(found, NOT_ELSEWHERE.format(verdict=sent.verdict))
        return explain_by(found, sent)


#: Parameters that a function gets from the run in progress.
_FROM_REPRO = {"seed": "repro.seed", "repro": "repro"}
DIAGNOSED = "the figures above are of runs in processes of their own, where the runs differ as well"
NOT_ELSEWHERE = (
    "in a new process the same runs were {verdict}: the result depends on what this process holds, such as a variable "
    "that an earlier run or cell changed"
)


def _name_of(function: Training) -> str:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() and name not in _FROM_REPRO else "examined"


def explain_by(found: Examination, other: Examination) -> Examination:
    """Return a result with the causes that another one found for the same runs."""
    result = replace(found.result, diagnosis=other.result.diagnosis, notes=(*found.result.notes, DIAGNOSED))
    message = "\n".join([other.message, *wrapped("note", DIAGNOSED)])
    return Examination(found.verdict, message, result)


def with_note(found: Examination, note: str) -> Examination:
    """Return a result with one more note."""
    result = replace(found.result, notes=(*found.result.notes, note))
    message = "\n".join([found.message, *wrapped("note", note)]) if found.message else ""
    return Examination(found.verdict, message, result)


def needs_processes(func: Training, *, across: Mapping[str, Any] | list[str], **arguments: Any) -> bool:
    """Return whether axes need processes of their own."""
    settings = _settings(
        func, arguments.get("runs", 2), arguments.get("seed", 0), False, TolerancePolicy(), Across.parse(across)
    )
    return plan_runs(settings, inspect.signature(func).parameters, NAMELESS).engine != "in_process"


NAMELESS = "the function"


def check_reproducible(func: Training, **arguments: Any) -> Verdict:
    """Return the verdict of :func:`examine`, which takes the same arguments. True only for a pass.

    Raises
    ------
    UsageError
        If an argument is wrong.

    Examples
    --------
    >>> check_reproducible(lambda: [1.0, 2.0], runs=3)
    <Verdict.IDENTICAL: 'identical'>
    >>> check_reproducible(lambda: None)  # nothing to compare
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    """
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

    Examples
    --------
    >>> assert_reproducible(lambda: {"loss": 0.5})
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
