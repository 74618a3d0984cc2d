"""The one flow of a test: its plan, its runs, their comparison, extra runs, the verdict. Knows no pytest.

An engine makes the runs (:mod:`pytest_repro.engines.base`). The verdict is reached while the last run is taken, so that
an engine that makes runs inside pytest can let the test fail by it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Literal

from pytest_repro.axes import ENGINES, ConditionPlan, EngineName, Isolation, check_arguments, isolate, plan_conditions
from pytest_repro.axes.isolate import BASELINE_DIFFERS, BY_CHANCE, CONFIRMATIONS, count_fresh_runs
from pytest_repro.capturing import digest
from pytest_repro.engines.base import (
    DEVICE,
    Engine,
    EngineUnusableError,
    FreshInterpretersNeededError,
    OwnForksNeededError,
    PlannedExecution,
    RunOutcome,
    raise_own,
)
from pytest_repro.environments.environment import EnvironmentRunError
from pytest_repro.errors import ChildError, OutOfTimeError
from pytest_repro.model import (
    ANOTHER_SEED,
    JSON,
    REFERENCE,
    Artifacts,
    Condition,
    RunResult,
    TestResult,
    TolerancePolicy,
    Verdict,
)
from pytest_repro.model.redaction import remember_condition
from pytest_repro.seeding import derive_seed
from pytest_repro.session.across import check_assertions
from pytest_repro.session.findings import PROCESS
from pytest_repro.session.settings import TestSettings
from pytest_repro.undisturbed import unpatched

if TYPE_CHECKING:
    from pytest_repro.session.judging import Judge


#: So many fresh interpreters confirm that one of several axes makes the difference, and as many that its baseline does
#: not, where the other runs are forks. What differs from interpreter to interpreter with probability p and for another
#: reason is blamed on the axis with p**4 (1 - p)**3 <= 0.9 %.
FRESH_RUNS = 3
ANOTHER_RESULT = "their results differ"


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of one test, made by one engine: the weakest that can make them."""

    runs: tuple[PlannedExecution, ...]
    conditions: ConditionPlan
    engine: EngineName
    #: Whether forks of interpreters that were started for the conditions can make runs that need an interpreter.
    shares_interpreters: bool = False

    @property
    def axis_names(self) -> list[str]:
        """Axes that are varied."""
        return [axis.name for axis in self.conditions.axes]


def plan_runs(settings: TestSettings, arguments: Collection[str], where: str) -> Plan:
    """Plan a test's runs: repeats in the baseline's condition, a run per further condition, the seed control.

    Without an explicit number of runs, a test with axes is not repeated in the same condition: the runs along the
    axes are compared with run 1 as well, and a divergence is distinguished from that of a plain repeat later.
    UsageError, with `where` in its message, means that an axis cannot be varied on this machine, or that the test lacks
    an argument that the marker names.
    """
    check_assertions(settings.assertions, arguments, where)
    requests = check_arguments(settings.requests, arguments, where)
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
    shares = any(axis.needs == "spawn" and axis.name != PROCESS for axis in conditions.axes)
    for _, condition, _ in entries:
        remember_condition(_complete(conditions, condition).as_dict())
    runs = tuple(
        # A plain repeat by a fork would share all that its interpreter drew at its imports, which repeats are to show.
        PlannedExecution(index, seed, differs, _complete(conditions, differs), policy, shares and 1 < index <= repeats)
        for index, (seed, differs, policy) in enumerate(entries, start=1)
    )
    engines: tuple[EngineName, ...] = (conditions.needs, "fork" if settings.isolate else "in_process")
    return Plan(runs, conditions, max(engines, key=ENGINES.index), shares)


def _complete(conditions: ConditionPlan, differs: Condition) -> Condition:
    """Return everything that a run is given: all axes, and whether it is a float64 reference."""
    axes = Condition(tuple((name, value) for name, value in differs if name not in (ANOTHER_SEED, REFERENCE)))
    kept = tuple((name, value) for name, value in differs if name == REFERENCE)
    return Condition((*conditions.complete(axes), *kept))


#: Share of the budget that isolating the axes leaves for the place and the cause: two watched runs. An axis of a torch
#: test takes 6 to 8 interpreters of 2.5 s, and on a busy machine of over 3 s.
RESERVED = 0.25
#: Shows what is in progress: the test's name, the step, and perhaps what it has used of its budget.
Show = Callable[..., None]


@dataclass(frozen=True, slots=True)
class _NextRun:
    """A run to make, and why it is made."""

    planned: PlannedExecution
    role: Literal["planned", "control", "confirmation", "device_repeat"] = "planned"


class TestFlow:
    """Takes one test from its plan to its verdict, whatever engine makes the runs.

    Attributes
    ----------
    is_judged : bool
        Whether the test is judged at all. An unmarked test shows by its first run whether it returns something.
    failure : BaseException or None
        The error by which the test fails, where the flow raised one.
    latest : RunResult
        The run that was made last. The result of a Hypothesis test lists repeats of its examples after it.
    """

    __test__ = False

    def __init__(self, plan: Plan, judge: Judge, engine: Engine, show: Show = lambda *_: None) -> None:
        self.plan = plan
        self.judge = judge
        self.engine = engine
        self.is_judged: bool = judge.settings.is_marked or judge.settings.takes_all
        self.failure: BaseException | None = None
        self.latest: RunResult
        self._show = show
        #: Runs so far that isolate the axes by which one run differs.
        self._probes = 0
        self._waiting = deque(map(_NextRun, plan.runs))
        #: Confirming runs by the number of the planned run, plain repeats between them, and what each run confirms.
        self._confirmations: Counter[int] = Counter()
        self._controls = 0
        self._confirmed: dict[int, int] = {}
        #: Whether a fresh interpreter was seen to give what run 1 gave as a fork, or a fork to give something else.
        self._knows_baseline = False
        #: Runs that differ along one axis, which are looked at when all values of the axis were tried, and the digest
        #: of the results with each value.
        self._to_confirm: deque[tuple[PlannedExecution, RunResult]] = deque()
        self._digests: dict[int, str] = {}
        #: Runs in other environments that left no result.
        self._lost: list[tuple[RunResult, EnvironmentRunError]] = []

    @property
    def result(self) -> TestResult:
        """The test's result so far."""
        return self.judge.result

    def run(self) -> RunOutcome | None:
        """Make every run, and reach the verdict.

        Returns
        -------
        RunOutcome or None
            The outcome of the run that ended the test by itself: it failed, broke or skipped.

        Raises
        ------
        DivergenceError, InconclusiveError, RecordError
            If the test is not reproducible.
        ChildError
            If a run left no outcome.
        """
        __tracebackhide__ = True
        self.result.engine = self.engine.name
        goes_on = True
        while goes_on:
            outcome, run = self._make_next()
            if self._lost and self._lost[-1][0] is run:
                goes_on = self._goes_on_without()
                continue
            goes_on = self.is_judged and self._goes_on_after(run, outcome)
            goes_on &= self.engine.finish(is_last=not goes_on)
            outcome.artifacts = Artifacts()  # they were compared: the next run takes their memory
        return outcome if run.outcome != "passed" else None

    def _goes_on_without(self) -> bool:
        """Return whether another run follows one that was lost. The others show what they would show without it."""
        __tracebackhide__ = True
        if not self._waiting:
            self._add_run()
        if not self._waiting:
            self._conclude()
        return bool(self._waiting)

    def _conclude(self) -> None:
        """Reach the verdict once all runs were made. A lost one hides no difference between the others."""
        __tracebackhide__ = True
        result, errors = self.result, [str(error) for _, error in self._lost]
        if not errors or any(comparison.divergences for _, comparison in result.comparisons):
            result.notes += errors
            self.judge.raise_unless_reproducible()
            return
        others = (f"run {run.index} with {run.condition.describe()}" for run, _ in result.comparisons)
        errors += [f"No difference from run 1 was found in {', '.join(others)}"] if result.comparisons else []
        result.verdict, result.reason = Verdict.ERROR, "\n".join(dict.fromkeys(errors))
        raise EnvironmentRunError(result.reason)

    def _goes_on_after(self, run: RunResult, outcome: RunOutcome) -> bool:
        """Return whether another run follows, as one does after a run 1 that skipped or xfailed by its own choice."""
        if run.index == 1 and outcome.may_end_otherwise:
            # One repeat shows whether the choice repeats, and further ones would cost a skipped test too much.
            same = (following for following in self._waiting if _repeats(following.planned, self.plan.runs[0]))
            self._waiting = deque(islice(same, 1))
            return bool(self._waiting)
        return bool(self._waiting) and run.outcome == "passed" and not self.judge.has_raised

    def _make_next(self) -> tuple[RunOutcome, RunResult]:
        __tracebackhide__ = True
        following = self._waiting.popleft()
        planned = following.planned
        self._show(self.result.nodeid, f"run {planned.index} of {planned.index + len(self._waiting)}")
        run = RunResult(planned.index, planned.differs_in)
        self.result.runs.append(run)
        self.latest = run
        try:
            outcome = self.engine.run(planned, partial(self._take, following, run))
        except EnvironmentRunError as error:
            if self.failure is not None:
                raise  # of the verdict, after this run
            outcome = RunOutcome("error", str(error))
            _note(run, outcome)
            self._lost.append((run, error))
            return outcome, run
        except ChildError as error:
            self._settle(run, RunOutcome("error", str(error)))
            raise
        self._settle(run, outcome)
        return outcome, run

    @unpatched
    def _take(self, following: _NextRun, run: RunResult, outcome: RunOutcome) -> None:
        """Compare a run that ended well. After the last one, reach the verdict and raise unless it is a pass."""
        __tracebackhide__ = True
        _note(run, outcome)
        if run.index == 1 and not self.judge.settings.is_marked:
            self.is_judged = outcome.has_results
            self.judge.compares_outcome = outcome.took_locals
        if not self.is_judged:
            return
        has_ended = self.result.runs[0].outcome != "passed"
        judge = (
            partial(self.judge.raise_for_ending, run) if has_ended else partial(self._judge, following, run, outcome)
        )
        try:
            raise_own(judge)
        except BaseException as error:
            self.failure = error
            raise

    def _judge(self, following: _NextRun, run: RunResult, outcome: RunOutcome) -> None:
        __tracebackhide__ = True
        planned = following.planned
        if following.role == "device_repeat":
            self.judge.take_device_repeat(outcome.artifacts)
        elif following.role == "confirmation":
            self._take_confirmation(planned, outcome)
        else:
            self.judge.take_effects(planned, outcome.effects)
            comparison = self.judge.take(run, outcome.artifacts, planned)
            if self._varies_interpreter(planned):
                self._digests[planned.index] = digest(outcome.artifacts)
            if following.role == "control":
                self.judge.budget.take(outcome.cpu_s, outcome.seconds)
            if comparison is not None and self.judge.findings is not None and _repeats(planned, self.plan.runs[0]):
                self.judge.findings.take_repeat(planned.differs_in, comparison)
            if comparison is not None and comparison.divergences:
                if self.engine.is_provisional:
                    raise OwnForksNeededError(f"run {planned.index} differed")
                if self._varies_interpreter(planned):
                    self._to_confirm.append((planned, run))
                else:
                    if self.engine.can_probe:
                        self._isolate_axes(planned)
                    self._check_engines(run)
        if not self._waiting:
            self._add_run()
        if not self._waiting:
            self._conclude()

    def _add_run(self) -> None:
        """Add a run after the planned ones, where it shows whether an axis is to blame for a difference."""
        while self._to_confirm:
            diverged, run = self._to_confirm.popleft()
            self._isolate_axes(diverged)
            self._check_engines(run)
        suspect = self.judge.suspect
        index = len(self.result.runs) + 1
        if self.engine.adds_control and self.judge.needs_control:
            # An axis is to blame only if a plain repeat of run 1 is identical.
            self._controls += 1
            self._waiting.append(_NextRun(replace(self.plan.runs[0], index=index), "control"))
        elif self.engine.adds_control and (planned := self._find_unconfirmed()) is not None:
            # In turn with plain repeats: what changes by chance may differ once, and agree once.
            if self._confirmations[planned.index] > self._controls:
                self._controls += 1
                self._waiting.append(_NextRun(replace(self.plan.runs[0], index=index), "control"))
            else:
                self._confirmations[planned.index] += 1
                self._confirmed[index] = planned.index
                self._waiting.append(_NextRun(replace(planned, index=index), "confirmation"))
        elif suspect is not None and self.engine.can_probe:
            self._show(self.result.nodeid, f"repeated on {suspect.device}")
            outcome = self.engine.run(suspect)
            self.judge.budget.take(outcome.cpu_s, outcome.seconds)
            if outcome.outcome == "passed":
                self.judge.take_device_repeat(outcome.artifacts)
        elif suspect is not None:
            # A device that differs from itself says nothing about the difference between two devices.
            self._waiting.append(_NextRun(replace(suspect, index=index), "device_repeat"))

    def _find_unconfirmed(self) -> PlannedExecution | None:
        """Return a run that diverged along one axis and was not repeated often enough, as long as the budget lasts."""
        findings = self.judge.findings
        if findings is None:
            return None
        diverged = {run.index: run for run, comparison in self.result.comparisons if comparison.divergences}
        for planned in self.plan.runs:
            run = diverged.get(planned.index)
            if run is None or not findings.needs_confirmation(run):
                continue
            if self._confirmations[planned.index] < CONFIRMATIONS or self._controls < CONFIRMATIONS:
                if not self.judge.budget.is_spent:
                    return planned
                findings.take_out_of_time(planned.index, f"no answer within {self.judge.budget.describe_limit()}")
        return None

    def _take_confirmation(self, planned: PlannedExecution, outcome: RunOutcome) -> None:
        """Compare a repeat of a run that diverged along an axis. It must diverge each time."""
        self.judge.budget.take(outcome.cpu_s, outcome.seconds)
        if self.judge.findings is not None and not self.judge.compare(outcome.artifacts, planned).divergences:
            self.judge.findings.take_unconfirmed(self._confirmed[planned.index])

    def _isolate_axes(self, planned: PlannedExecution) -> None:
        """Find the smallest set of axes under which a run still differs, unless that is known already."""
        findings = self.judge.findings
        if findings is None or not findings.needs_isolation(planned.differs_in):
            return
        fresh_runs: Counter[str] = Counter()
        self._probes = 0
        budget = self.judge.budget

        def differs(condition: Condition) -> bool:
            found, engine = self._probe(planned, condition)
            if not self._shares_interpreters or found != bool(condition.values):
                # Nothing is blamed on account of this answer.
                self._knows_baseline |= not condition.values
                return found
            key = condition.describe()
            needs_fresh = engine == "fork" and fresh_runs[key] < FRESH_RUNS
            if needs_fresh and self._probe(planned, condition, is_fresh=True)[0] != found:
                raise FreshInterpretersNeededError(ANOTHER_RESULT)
            fresh_runs[key] += 1
            self._knows_baseline |= not condition.values
            return found

        try:
            with budget.counting(), budget.reserving(RESERVED):
                isolation = (
                    self._confirm_axis(planned)
                    if self._varies_interpreter(planned)
                    else isolate(differs, planned.differs_in)
                )
                findings.take_isolation(planned.index, isolation)
                if isolation.axes == ("isa",):
                    from pytest_repro.diagnosis.axis_causes import find_libraries

                    found = self.result.components["isa"] = []
                    for library in find_libraries(differs, planned.differs_in.as_dict()["isa"]):
                        found.append(library)  # each is kept if the budget ends before the next
        except OutOfTimeError:
            # The axis may be known by now, and only the libraries that it reaches are not.
            findings.take_out_of_time(planned.index, f"no answer within {budget.describe_limit()}")
        except EngineUnusableError:
            raise
        except ChildError as error:
            findings.take_isolation(planned.index, Isolation("not_isolated", reason=str(error)))

    def _varies_interpreter(self, planned: PlannedExecution) -> bool:
        """Whether a run is one of those along an axis that each have an interpreter of their own, or run 1."""
        names = [axis.name for axis in self.plan.conditions.axes]
        is_plain = planned.seed == self.plan.runs[0].seed and not planned.is_fresh and not planned.is_reference
        return self._shares_interpreters and is_plain and len(names) == 1 and not self.engine.is_provisional

    def _confirm_axis(self, planned: PlannedExecution) -> Isolation:
        """Confirm by fresh interpreters that the only axis makes a run differ, after a repeat of each side."""
        first = self.plan.runs[0]
        names = tuple(name for name, _ in planned.differs_in)
        if self._repeat(first)[0]:
            return Isolation("repeat", probes=1, reason=BASELINE_DIFFERS)
        if not self._repeat(planned)[0]:
            return Isolation("not_isolated", probes=2, reason=BY_CHANCE)
        values = len(self._digests)
        results = len(set(self._digests.values())) if planned.policy.is_exact else 2
        done = 0
        while done < count_fresh_runs(values, max(results, 2)):
            repeated = (first, planned)[done % 2]
            differs, is_same = self._repeat(repeated, is_fresh=True)
            if differs != (repeated is planned):
                raise FreshInterpretersNeededError(ANOTHER_RESULT)
            results = results if is_same else 2
            self._knows_baseline = True
            done += 1
        return Isolation("isolated", names, names, probes=2 + done)

    def _repeat(self, planned: PlannedExecution, *, is_fresh: bool = False) -> tuple[bool, bool]:
        """Repeat a run, and return whether it differs from run 1, and whether it gives what the run gave before."""
        outcome = self._make_probe(planned, planned.complete, is_fresh=is_fresh)
        if outcome.outcome != "passed":
            return True, False
        differs = bool(self.judge.compare(outcome.artifacts, planned).divergences)
        return differs, digest(outcome.artifacts) == self._digests[planned.index]

    def _probe(self, planned: PlannedExecution, condition: Condition, *, is_fresh: bool = False) -> tuple[bool, str]:
        """Repeat a run in another condition. Return whether it differs from run 1, and what made it."""
        outcome = self._make_probe(planned, self.plan.conditions.complete(condition), is_fresh=is_fresh)
        differs = outcome.outcome != "passed" or bool(self.judge.compare(outcome.artifacts, planned).divergences)
        return differs, outcome.engine

    def _make_probe(self, planned: PlannedExecution, complete: Condition, *, is_fresh: bool) -> RunOutcome:
        budget = self.judge.budget
        if budget.is_spent:
            raise OutOfTimeError
        self._probes += 1
        names = [name for name, _ in planned.differs_in]
        axes = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        each = 2 if self._shares_interpreters else 1  # a fresh interpreter confirms what a fork says
        about = max(self._probes, each * (1 + len(planned.differs_in.values) + 2 * CONFIRMATIONS))
        what = "confirming" if len(names) == 1 else "isolating"
        self._show(self.result.nodeid, f"{what} {axes}, {self._probes} of about {about}", budget.describe_spent)
        outcome = self.engine.run(replace(planned, complete=complete, is_fresh=is_fresh))
        budget.take(outcome.cpu_s)
        return outcome

    @property
    def _shares_interpreters(self) -> bool:
        """Whether runs are forks of interpreters that were started for their conditions."""
        return self.plan.shares_interpreters and self.engine.name == "fork"

    def _check_engines(self, run: RunResult) -> None:
        """Reject a difference between a fork and a fresh interpreter, which may be due to that alone.

        Not where isolating the axes has shown that it is not.
        """
        if self._shares_interpreters and run.engine != self.result.runs[0].engine and not self._knows_baseline:
            raise FreshInterpretersNeededError(ANOTHER_RESULT)

    @unpatched
    def _settle(self, run: RunResult, outcome: RunOutcome) -> None:
        """Note how a run ended, and reach the verdict if it ended the test by itself."""
        _note(run, outcome)
        self.is_judged |= outcome.has_results
        if self.judge.has_raised:
            run.outcome, run.reason = "passed", ""  # the test fails by its verdict, not by this run
        self.judge.settle(run)

    def end_by_error(self, reason: str) -> RunResult:
        """Note an error after the last run, as in its teardown, and return that run."""
        run = self.result.runs[-1]
        run.outcome, run.reason, run.where, run.is_xfail = "error", reason, "", False
        self.judge.settle(run)
        return run


def _repeats(planned: PlannedExecution, first: PlannedExecution) -> bool:
    """Return whether a run is to end as the first one: it has the same seed, and is not the float64 reference."""
    return planned.seed == first.seed and not planned.is_reference


def _note(run: RunResult, outcome: RunOutcome) -> None:
    run.outcome, run.reason = outcome.outcome, outcome.reason
    run.is_xfail, run.where, run.refused = outcome.is_xfail, outcome.where, outcome.refused
    run.reached, run.judgements = list(outcome.reached), list(outcome.judgements.items())
    run.duration_s, run.settings = outcome.seconds, outcome.settings
    run.inputs, run.equivalences = outcome.inputs, outcome.equivalences
    run.engine, run.interpreter, run.tests_before = outcome.engine, outcome.interpreter, outcome.tests_before
