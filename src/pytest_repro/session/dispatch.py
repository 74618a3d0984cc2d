"""Runs each reproducible test of a session by the engine that its axes need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes.spec import ENVIRONMENT_AXES
from pytest_repro.engines import item_run
from pytest_repro.engines.base import RunSettings
from pytest_repro.engines.in_process import InProcessEngine
from pytest_repro.engines.parameters import describe_changed
from pytest_repro.engines.wider_fixtures import WiderFixtures
from pytest_repro.engines.workplace import workplace_of
from pytest_repro.environments.environment import EnvironmentLostError
from pytest_repro.errors import ReproError, UsageError
from pytest_repro.model import RunResult, TestResult, Verdict
from pytest_repro.model.redaction import redact_assignments, redact_name
from pytest_repro.reporting.json_report import result_to_json
from pytest_repro.reporting.live import LiveLine
from pytest_repro.session.acceptance import Accepting
from pytest_repro.session.budget import Budget, SessionBudget
from pytest_repro.session.collection import DrawnParameters
from pytest_repro.session.examples import is_given_test
from pytest_repro.session.findings import NOT_AVAILABLE, AxisFindings
from pytest_repro.session.flow import Plan, plan_runs
from pytest_repro.session.judging import Judge
from pytest_repro.session.protocol import ChildProtocol, InProcessProtocol, announced
from pytest_repro.session.settings import SessionSettings, TestSettings, read_marker, read_test_settings
from pytest_repro.tracing.variables import begin_test
from pytest_repro.undisturbed import unpatched

if TYPE_CHECKING:
    from pytest_repro.axes import AxisRequest
    from pytest_repro.session.diagnosis_memory import DiagnosisMemory
    from pytest_repro.session.recording import RecordKeeper


class NothingToVaryError(Exception):
    """None of a test's axes can be varied here, and there is nothing to run."""

    def __init__(self, result: TestResult) -> None:
        super().__init__(result.reason)
        self.result = result


class Dispatcher:
    """Runs tests to their verdicts.

    Attributes
    ----------
    engine : InProcessEngine or None
        Of the test that is running in this process.
    """

    def __init__(
        self,
        settings: SessionSettings,
        live: LiveLine,
        started: float,
        records: RecordKeeper | None,
        drawn: DrawnParameters,
        accepting: Accepting,
    ) -> None:
        self._accepting = accepting
        self.engine: InProcessEngine | None = None
        self._settings = settings
        self._live = live
        self._started = started
        self._records = records
        self._drawn = drawn
        self._wider = WiderFixtures()
        self._memory: DiagnosisMemory | None = None
        self._session_budget: SessionBudget | None = None
        #: Of the test that is running.
        self._budget: Budget | None = None

    def run(self, item: pytest.Function, nextitem: pytest.Item | None) -> None:
        """Run a test to its verdict. A test that cannot be run as requested is an error of its own."""
        begin_test()
        try:
            protocol = self._plan(item, nextitem)
        except ReproError as error:
            failure = pytest.fail.Exception(redact_assignments(str(error)), pytrace=False)
            self._report_unrun(item, nextitem, failure, TestResult(item.nodeid, Verdict.ERROR, 0, reason=str(error)))
        except NothingToVaryError as nothing:
            skip = pytest.skip.Exception(nothing.result.reason, _use_item_location=True)
            self._report_unrun(item, nextitem, skip, nothing.result)
        else:
            self.engine = protocol.engine if isinstance(protocol, InProcessProtocol) else None
            try:
                protocol.run()
            finally:
                self.engine = None
                if self._session_budget is not None and self._budget is not None:
                    is_diagnosed = self._budget.spent_s > 0
                    self._session_budget.end_test(_function_of(item), is_diagnosed=is_diagnosed)

    @unpatched
    def _plan(self, item: pytest.Function, nextitem: pytest.Item | None) -> InProcessProtocol | ChildProtocol:
        """Plan a test's runs, and choose the engine. UsageError means that the test cannot be run here as requested."""
        settings = read_test_settings(item, self._settings)
        unvaried, why = self._find_unvaried(item, settings)
        if unvaried:
            # The session's axes: a scan must not fail for what its tests did not ask for.
            settings = replace(settings, requests=())
        plan = plan_runs(settings, item._fixtureinfo.argnames, item.nodeid)

        if plan.engine != "in_process" and self._drawn.draws_at_import(item):
            # Forks of one process would share what the module drew, and be identical by it.
            plan = replace(plan, engine="spawn", shares_interpreters=False)
        # One for all judges: the time that forks took counts when fresh interpreters make the runs again.
        budget = self._begin_budget(item)
        notes = [] if is_given_test(item) else _check_environments(item, plan)
        make_judge = partial(self._make_judge, item, plan, settings, budget, notes)
        judge = make_judge()
        _skip_without_values(plan, settings, judge.result)
        if unvaried:
            names = ", ".join(request.name for request in unvaried)
            judge.result.notes.append(f"{names} not varied: {why}")
            judge.result.matrix = {request.name: "not_varied" for request in unvaried}
        common = RunSettings(
            plan.axis_names,
            settings.keeps_locals,
            settings.timeout_s,
            self._settings.memory_limit_bytes,
            self._settings.base_seed,
            self._settings.hints,
        )
        if is_given_test(item):
            _check_given(item, plan, settings, judge.result)
        elif plan.engine != "in_process":
            if judge.drawn_parameters:
                # A process of its own would not find the test, or would find another one under its name.
                raise UsageError(f"{item.nodeid}: {describe_changed(judge.drawn_parameters)}")
            debugger = _find_debugger(item.config)
            if debugger is None:
                find_paths = partial(self._find_paths, item.session)
                return ChildProtocol(item, nextitem, plan, make_judge, common, self._live, find_paths, self._accepting)
            option = f"--{debugger.removeprefix('use')}"
            if plan.conditions.needs != "in_process":
                raise UsageError(
                    f"{item.nodeid}: its axes need processes of their own, where {option} cannot follow; omit {option}"
                )
            judge.result.notes.append(f"run in this process, since {option} cannot follow a run into another")
        return InProcessProtocol(item, nextitem, plan, judge, common, self._live, self._wider, self._accepting)

    def _begin_budget(self, item: pytest.Function) -> Budget:
        """Return the budget of a test: what one test may use, and its share of the session's."""
        if self._session_budget is None:
            workers = int(getattr(item.config, "workerinput", {}).get("workercount", 1))
            tests = sum(map(self._settings.takes, item.session.items))
            self._session_budget = SessionBudget(self._settings.session_budget_s, -(-tests // workers))
        is_known = redact_name(str(item.nodeid)) in self._accepting.findings
        share_s = self._session_budget.begin_test(_function_of(item), is_known=is_known)
        self._budget = Budget(self._settings.test_budget_s, self._session_budget, share_s=share_s)
        return self._budget

    def _find_unvaried(self, item: pytest.Function, settings: TestSettings) -> tuple[tuple[AxisRequest, ...], str]:
        """Return the session's axes that an unmarked test does not take, and why."""
        if settings.is_marked:
            return (), ""
        if is_given_test(item):
            return settings.requests, "across= cannot be used with @given yet"
        if self._settings.take_all or not self._settings.across_on_command_line:
            return (), ""
        return self._settings.requests, "a test without the marker takes axes with --repro-all"

    def _make_judge(
        self, item: pytest.Function, plan: Plan, settings: TestSettings, budget: Budget, notes: Sequence[str]
    ) -> Judge:
        result = TestResult(item.nodeid, Verdict.ERROR, settings.seed, repeat_command=settings.repeat_command)
        result.notes += notes
        findings = AxisFindings(plan.conditions, result) if plan.axis_names or plan.conditions.unavailable else None
        is_given = is_given_test(item)
        record = None
        if self._records is not None:
            record = self._records.for_test(str(item.nodeid), settings, is_given=is_given)
        judge = Judge(settings, result, findings, record, budget)
        judge.drawn_parameters = self._drawn.find(item)
        if plan.engine == "spawn" and plan.conditions.needs != "spawn":
            result.notes.append("each run was made by a fresh interpreter, since the module draws entropy")
        if not is_given:
            judge.find_readings = partial(_find_readings, item)
            judge.diagnose = self._make_diagnosis(item, plan, settings, budget, judge)
        return judge

    def _make_diagnosis(
        self, item: pytest.Function, plan: Plan, settings: TestSettings, budget: Budget, judge: Judge
    ) -> Callable[[TestResult, RunResult | None], None] | None:
        """Return what diagnoses the test if it diverges, or None if it is not to be diagnosed."""
        # An expected failure shows no message, and would cost its time whenever the suite is run.
        is_expected = item.get_closest_marker("xfail") is not None
        if not self._settings.diagnose or _find_debugger(item.config) is not None or is_expected:
            return None

        def diagnose(result: TestResult, ended: RunResult | None) -> None:
            # Imported here: a session in which nothing diverges loads none of the twenty modules behind it.
            from pytest_repro.session import diagnosing
            from pytest_repro.session.diagnosis_memory import DiagnosisMemory

            if self._memory is None:
                self._memory = DiagnosisMemory(item.config)
            means = diagnosing.DiagnosisMeans(
                budget=budget,
                memory_limit_bytes=self._settings.memory_limit_bytes,
                started=self._started,
                memory=self._memory,
                live=self._live,
                find_paths=partial(self._find_paths, item.session),
                readings=judge.readings,
            )
            diagnosing.diagnose(item, plan, settings, means, result, ended)

        return diagnose

    def _find_paths(self, session: pytest.Session) -> list[str]:
        """Return the files of all tests that the session may run by forks: it starts one server for all of them."""
        return sorted({str(item.path) for item in session.items if self._settings.takes(item)})

    def _report_unrun(
        self, item: pytest.Function, nextitem: pytest.Item | None, error: BaseException, result: TestResult
    ) -> None:
        """Report an error in place of the test's setup, and run nothing of the test."""

        def fail(original: Callable[[], None]) -> None:
            raise error from None

        with announced(item, self._live):
            with item_run.replaced_setup(item, fail):
                report, call = item_run.run_phase(item, "setup")
            report.repro = result_to_json(result)  # type: ignore[attr-defined]
            item_run.log_report(item, report, call)
            item_run.log_report(item, *item_run.run_phase(item, "teardown", nextitem=nextitem))


def _function_of(item: pytest.Function) -> str:
    """Return the name of a test without its parameters."""
    return str(item.nodeid).removesuffix(f"[{item.callspec.id}]") if hasattr(item, "callspec") else str(item.nodeid)


def _find_readings(item: pytest.Function) -> dict[str, str]:
    """Return the local variables of a test that hold only readings of the clock, and what each holds."""
    from pytest_repro.tracing.clock_variables import find_clock_variables  # only where runs differ

    function = inspect.unwrap(getattr(item.function, "__func__", item.function))
    return {str(name): str(kind) for name, kind in find_clock_variables(function).items()}


def _check_environments(item: pytest.Function, plan: Plan) -> list[str]:
    """Make and look at the environments that a test's axes name, before anything runs, and describe each.

    One that does not answer is an error of its own run.
    """
    notes = []
    for axis in plan.conditions.axes:
        for value in axis.values if axis.name in ENVIRONMENT_AXES and axis.kind == "built_in" else ():
            if value is not None:
                environments = workplace_of(item.config).environments_of(item.config)
                with suppress(EnvironmentLostError):
                    notes.append(environments.describe(axis.name, str(value), item.path))
    return notes


def _find_debugger(config: pytest.Config) -> str | None:
    """Return the name of the option by which a debugger follows the session, or None if none does."""
    return next((name for name in ("usepdb", "trace") if config.getoption(name, False)), None)


def _skip_without_values(plan: Plan, settings: TestSettings, result: TestResult) -> None:
    """Skip a test all of whose axes are missing here, unless the number of its runs is given."""
    if plan.conditions.unavailable and not plan.conditions.axes and not settings.runs_are_given:
        reasons = [f"axis {axis} is not available here: {reason}" for axis, reason in plan.conditions.unavailable]
        result.verdict, result.reason = Verdict.INCONCLUSIVE, "; ".join(reasons)
        result.matrix = {axis: NOT_AVAILABLE for axis, _ in plan.conditions.unavailable}
        raise NothingToVaryError(result)


def _check_given(item: pytest.Function, plan: Plan, settings: TestSettings, result: TestResult) -> None:
    """Reject what ``@given`` cannot be combined with, and note the session's options that have no effect on it."""
    if plan.axis_names or settings.assertions:
        raise UsageError(f"{item.nodeid}: across= cannot be used with @given yet; omit one of the two")
    if read_marker(item).get("seed_control"):
        raise UsageError(f"{item.nodeid}: seed_control cannot be used with @given yet; omit one of the two")
    if settings.seed_control:
        result.notes.append("no run with another seed: seed control cannot be used with @given yet")
    if settings.isolate:
        result.notes.append("run in this process: examples of @given are repeated where Hypothesis makes them")
