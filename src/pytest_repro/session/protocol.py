"""pytest's protocol around the flow of one test: its phases, its reports, its failure.

In this process every run has phases of its own (docs/adr/0007). Runs in child processes are all made within one call
phase. Either way pytest and its plugins see one ordinary test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
from _pytest.runner import CallInfo

from pytest_repro.axes import EngineName
from pytest_repro.axes.spec import canonical
from pytest_repro.engines import item_run
from pytest_repro.engines.base import (
    EngineUnusableError,
    OwnForksNeededError,
    RunOutcome,
    RunSettings,
    mark_own,
    raise_own,
)
from pytest_repro.engines.child_engine import ChildEngine
from pytest_repro.engines.child_session import ChildSessions, give_up_forks, refuses_fork
from pytest_repro.engines.condition import interpreter_of
from pytest_repro.engines.in_process import InProcessEngine
from pytest_repro.engines.item_run import has_xfail_mark, reason_of
from pytest_repro.engines.measured import read_coverage_settings
from pytest_repro.engines.relay import WarningRelay
from pytest_repro.engines.time_limit import why_unlimited
from pytest_repro.engines.wider_fixtures import WiderFixtures
from pytest_repro.errors import ReproError, ShownError
from pytest_repro.model import Judgement, RunResult, TestResult, Verdict
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.reporting.failure import describe_own_failure, with_message
from pytest_repro.reporting.json_report import judgements_to_json, junit_properties, result_to_json
from pytest_repro.reporting.live import LiveLine
from pytest_repro.reporting.terminal_failure import add_section, set_failure
from pytest_repro.session.acceptance import AcceptedReports, Accepting
from pytest_repro.session.equivalence_axes import bind_assertions
from pytest_repro.session.examples import ExamplesEngine, is_given_test
from pytest_repro.session.flow import Plan, TestFlow
from pytest_repro.session.judging import Judge
from pytest_repro.undisturbed import Undisturbed, between_phases


class RunFailedError(ShownError):
    """A run failed by itself in its own process. The message is pytest's text of the failure there."""


@contextmanager
def announced(item: pytest.Function, live: LiveLine) -> Iterator[None]:
    """Announce the start and the end of a test, and leave the item as pytest would."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    try:
        with item_run.own_failures_shown_plainly(item):
            yield
    finally:
        live.clear()
        item._request = False  # type: ignore[assignment]
        item.funcargs = None  # type: ignore[assignment]
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _add_result(report: pytest.TestReport, result: TestResult, accepted: AcceptedReports) -> None:
    entry = result_to_json(result) if report.when == "teardown" or accepted.concerns(result.verdict) else {}
    if entry:
        accepted.apply(report, entry)
    # JUnit's file takes them from the teardown's report.
    if report.when in ("call", "teardown"):
        report.user_properties += junit_properties(result)
    # The result travels with the last report, which is the only way out of an xdist worker.
    if report.when == "teardown":
        report.repro = entry  # type: ignore[attr-defined]
        found: Counter[Judgement] = Counter()
        for run in result.runs:
            found.update(dict(run.judgements))
        known = getattr(report, "repro_judgements", [])  # of the last teardown
        report.repro_judgements = [*known, *judgements_to_json(found)]  # type: ignore[attr-defined]
        files = {file for run in result.runs for file in run.inputs.get("files", ())}
        report.repro_files = sorted(files)  # type: ignore[attr-defined]


class InProcessProtocol:
    """Runs a test in this process."""

    def __init__(
        self,
        item: pytest.Function,
        nextitem: pytest.Item | None,
        plan: Plan,
        judge: Judge,
        settings: RunSettings,
        live: LiveLine,
        wider: WiderFixtures,
        accepting: Accepting,
    ) -> None:
        self._accepted = AcceptedReports(accepting)
        make: Callable[..., InProcessEngine] = InProcessEngine
        if is_given_test(item):
            plan = replace(plan, runs=plan.runs[:1])
            make = partial(ExamplesEngine, judge)
        self.engine: ExamplesEngine | InProcessEngine = make(
            item,
            nextitem,
            settings,
            reads_settings=judge.settings.wants_digests,
            bind=partial(bind_assertions, judge.settings.assertions),
            publish=self._publish,
            wider=wider,
        )
        self._item = item
        self._live = live
        self._flow = TestFlow(plan, judge, self.engine, live.show)
        self._expects_failure = has_xfail_mark(item)
        if settings.timeout_s is not None and (reason := why_unlimited()):
            judge.result.notes.append(f"timeout={settings.timeout_s:g} is checked only when a run ends: {reason}")

    def run(self) -> None:
        """Run the test to its verdict."""
        with between_phases(), announced(self._item, self._live):
            try:
                self._flow.run()
                report, call = self.engine.torn_down
                self._restore_or_fail(report)
                if not report.passed:
                    self._flow.end_by_error(reason_of(report))
                self._publish(report, call)
            finally:
                self._restore()
                self.engine.close()

    def _publish(self, report: pytest.TestReport, call: CallInfo[None]) -> None:
        with Undisturbed():
            self._complete(report)
        item_run.log_report(self._item, report, call)

    def _complete(self, report: pytest.TestReport) -> None:
        self._live.clear()
        if self._flow.is_judged:
            run = self._flow.latest
            if report.skipped and self._flow.judge.has_ended_otherwise(run):
                # pytest counts a skip and an expected failure as no failure, but run 1 ended otherwise.
                message = self._flow.judge.describe_ending(run)
                item_run.fail_report(report, str(message), is_expected=self._expects_failure)
                set_failure(report, message)
            elif report.failed and run.outcome != "passed":
                add_section(report, self._flow.judge.describe_run_failure(run))
            _add_result(report, self._flow.result, self._accepted)

    def _restore(self) -> None:
        # An ordinary test may set a flag for those after it.
        self._flow.result.notes += self.engine.restore_state(flags=self._flow.is_judged)

    def _restore_or_fail(self, report: pytest.TestReport) -> None:
        try:
            self._restore()
        except ReproError as error:
            text = f"{report.longreprtext}\n{error}" if report.failed else str(error)
            report.outcome, report.longrepr = "failed", text


class ChildProtocol:
    """Runs a test in child processes.

    The item is set up without its fixtures, which belong to the children. The flow runs where pytest would run the
    test function, so that marks, reports and other plugins work as for any test. `make_judge` makes another judge if
    the runs are made again by another engine. `find_paths` returns the files whose tests the session may run by forks.
    """

    def __init__(
        self,
        item: pytest.Function,
        nextitem: pytest.Item | None,
        plan: Plan,
        make_judge: Callable[[], Judge],
        settings: RunSettings,
        live: LiveLine,
        find_paths: Callable[[], list[str]],
        accepting: Accepting,
    ) -> None:
        self._accepted = AcceptedReports(accepting)
        self._item = item
        self._nextitem = nextitem
        self._plan = plan
        self._make_judge = make_judge
        self._judge = make_judge()
        self._live = live
        self._settings = settings
        self._find_paths = find_paths
        self._sections: list[list[str]] = []
        self._warnings = WarningRelay(item)
        self._has_published = False

    def run(self) -> None:
        """Run the test to its verdict."""
        item = self._item
        with announced(item, self._live), _without_fixtures(item):
            setup, call = item_run.run_phase(item, "setup")
            item_run.log_report(item, setup, call)
            if setup.passed:
                with item_run.replaced_runtest(item, self._runtest):
                    report, call = item_run.run_phase(item, "call")
                report.sections += [(name, text) for name, text in self._sections]
                self._publish(report, call)
            else:
                run = RunResult(1, outcome="skipped" if setup.skipped else "error", reason=reason_of(setup))
                self._judge.result.runs.append(run)
                self._judge.settle(run)
            session = item.session
            nextitem = None if session.shouldfail or session.shouldstop else self._nextitem
            self._publish(*item_run.run_phase(item, "teardown", nextitem=nextitem))

    def _publish(self, report: pytest.TestReport, call: CallInfo[None]) -> None:
        self._live.clear()
        _add_result(report, self._judge.result, self._accepted)
        item_run.log_report(self._item, report, call)

    def _runtest(self, original: Callable[[], None]) -> None:
        __tracebackhide__ = True
        if self._plan.engine == "fork" or self._plan.shares_interpreters:
            refusal = refuses_fork(self._item.config)
            reason = refusal or self._try_forks()
            if not reason:
                return
            self._judge = self._make_judge()
            if self._plan.engine == "fork" or not refusal:
                self._judge.result.notes.append(f"each run was made by a fresh interpreter, not by a fork: {reason}")
        self._run_flow("spawn")

    def _try_forks(self) -> str:
        """Make the runs by forks, and return the reason if that turned out to be impossible."""
        __tracebackhide__ = True
        try:
            try:
                self._run_flow("fork", in_series=_may_be_in_series(self._item, self._plan, self._judge))
            except OwnForksNeededError as error:
                self._judge = self._make_judge()
                self._run_flow("fork")
                self._note_dependence(error)
        except EngineUnusableError as error:
            if error.is_general:
                give_up_forks(self._item.config)
            return str(error)
        return ""

    def _note_dependence(self, error: OwnForksNeededError) -> None:
        """Note that a test that is reproducible by itself may depend on other tests."""
        if self._judge.result.verdict:
            self._judge.result.notes.append(
                f"{error} in a process that had run other tests, but not in a process of its own: the test may depend "
                "on what other tests leave"
            )

    def _run_flow(self, engine_name: EngineName, *, in_series: bool = False) -> None:
        __tracebackhide__ = True
        children = ChildSessions(
            self._item,
            self._settings,
            engine_name,
            self._find_paths,
            checks_parameters=True,
            nextitem=self._nextitem,
        )
        engine = ChildEngine(
            children,
            self._plan.runs,
            shows_output=self._item.config.getoption("capture", "fd") in ("no", "tee-sys"),
            clear_line=self._live.clear,
            warnings=self._warnings,
            has_published=self._has_published,
            in_series=in_series,
        )
        has_ended_well = False
        try:
            ended_by = raise_own(TestFlow(self._plan, self._judge, engine, self._live.show).run)
            has_ended_well = self._judge.result.verdict is not Verdict.ERROR
        finally:
            self._sections, self._has_published = engine.sections, engine.has_published
            engine.close()
            if in_series and not has_ended_well:
                children.end_series()  # the next tests are not to find what this one has left
        if ended_by is not None:
            self._raise_as_pytest(ended_by)

    def _raise_as_pytest(self, outcome: RunOutcome) -> None:
        """Raise a run's own failure as pytest would have in this process."""
        __tracebackhide__ = True
        run = self._judge.result.runs[-1]
        has_ended_otherwise = self._judge.has_ended_otherwise(run)
        if outcome.is_xfail and (outcome.ends_by_mark or not has_ended_otherwise):
            raise pytest.xfail.Exception(outcome.reason)
        if outcome.outcome == "skipped" and not has_ended_otherwise:
            raise pytest.skip.Exception(outcome.reason)
        # The reason may be the last output of a process that died. The text of a failure is pytest's own.
        summary = redact_assignments(outcome.reason)
        text = outcome.longrepr or summary
        described = self._judge.describe_run_failure(run)
        if has_ended_otherwise and run.ending in ("skipped", "xfailed"):
            described = self._judge.describe_ending(run)
            summary = described.summary
        error = with_message(RunFailedError, describe_own_failure(text, described))
        error.summary = summary
        raise mark_own(error)


def _may_be_in_series(item: pytest.Function, plan: Plan, judge: Judge) -> bool:
    """Return whether a test's runs may be made by processes that have run other tests, as a plain session's are.

    Only in a scan: a test with the marker has processes of its own. Not where anything but a comparison of the runs
    decides the verdict, and no two runs in one process.
    """
    settings = judge.settings
    needed = [interpreter_of(run.complete, plan.axis_names) for run in plan.runs]
    interpreters = {canonical(condition.as_dict()) for condition in needed if condition is not None}
    return (
        plan.shares_interpreters
        and not (settings.is_marked or settings.isolate or settings.assertions or settings.seed_control)
        and judge.record is None
        and not any(run.is_fresh for run in plan.runs)
        and len(interpreters) == len(plan.runs)
        and item.config.getoption("capture", "fd") == "fd"
        and read_coverage_settings(item.config) is None
    )


@contextmanager
def _without_fixtures(item: pytest.Function) -> Iterator[None]:
    """Skip the item's own setup and teardown in this process, since they belong to the children."""
    item.setup = lambda: None  # type: ignore[method-assign]
    item.teardown = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del item.setup, item.teardown
