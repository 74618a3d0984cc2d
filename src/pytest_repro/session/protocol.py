"""The one flow, for one test: plan its runs, run them, compare each with run 1, judge, report.

The loop stands around pytest's own setup, call and teardown; the comparison is made inside the last run's
call phase, so that xfail, `--pdb`, JUnit and every other plugin see an ordinary failing test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import CallInfo

from pytest_repro import seeding
from pytest_repro.engines import item_run
from pytest_repro.engines.current import CurrentRun, Repro
from pytest_repro.engines.outer_timer import restart_timer
from pytest_repro.engines.time_limit import why_unlimited
from pytest_repro.errors import ReproError
from pytest_repro.model import RunResult, TestResult
from pytest_repro.reporting.json_report import junit_properties, result_to_json
from pytest_repro.session import examples
from pytest_repro.session.judging import Judge
from pytest_repro.session.one_run import OneRun, Reports, raise_own, reason_of
from pytest_repro.session.planning import Plan, PlannedExecution
from pytest_repro.session.settings import TestSettings

if TYPE_CHECKING:
    from pytest_repro.capturing import Spill
    from pytest_repro.reporting.live import LiveLine

#: Where the `repro` fixture finds the protocol that drives its test.
PROTOCOL_KEY = pytest.StashKey["ItemProtocol"]()


class ItemProtocol:
    """All runs of one test in this process.

    Parameters
    ----------
    item : pytest.Function
    nextitem : pytest.Item or None
        What pytest runs afterwards; decides how much the last run tears down.
    settings : TestSettings
    judge : Judge
    plan : Plan
    live : LiveLine
        Shows which run is going on.
    make_spill : callable
        Makes a place on disk for what one run captures beyond the memory limit.
    """

    def __init__(
        self,
        item: pytest.Function,
        nextitem: pytest.Item | None,
        settings: TestSettings,
        judge: Judge,
        plan: Plan,
        live: LiveLine,
        make_spill: Callable[[], Spill],
    ) -> None:
        self.item = item
        self.nextitem = nextitem
        self.settings = settings
        self.live = live
        self.make_spill = make_spill
        self.repro: Repro | None = None
        self._spills: list[Spill] = []
        self._is_control = False
        self._is_device_repeat = False
        self._state: seeding.State | None = seeding.save_state()
        self._properties = len(item.user_properties)
        self._earlier_s: dict[str, float] = {}
        self.judge = judge
        self.result = judge.result
        self.is_ours = settings.is_marked or settings.takes_all
        self._repeats_examples = examples.is_given_test(item)
        # Examples are repeated within one run of the item.
        self._runs = plan.runs[:1] if self._repeats_examples else plan.runs
        self._axes = plan.axis_names
        self.planned = self._runs[0]
        self.current = CurrentRun(0, settings.seed)

    def _make_run(self, planned: PlannedExecution, index: int | None = None) -> CurrentRun:
        # Two at most hold data, the baseline's and this run's. What is needed longer (a run in float64) stays mapped.
        for spill in self._spills[1:]:
            spill.close()
        self._spills[1:] = [self.make_spill()] if self._spills else []
        self._spills = self._spills or [self.make_spill()]
        return planned.begin(index=index, spill=self._spills[-1])

    def _close_spills(self) -> None:
        for spill in self._spills:
            spill.close()

    @property
    def _is_last(self) -> bool:
        return self.planned is self._runs[-1]

    def run(self) -> TestResult | None:
        """Run the test to its verdict; None if it turned out to be an ordinary test."""
        item = self.item
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        item.stash[PROTOCOL_KEY] = self
        if self.settings.timeout_s is not None and (reason := why_unlimited()):
            self.result.notes.append(f"timeout={self.settings.timeout_s:g} could not be set: {reason}")
        try:
            with item_run.own_failures_shown_plainly(item):
                self._run_all()
        finally:
            self.live.clear()
            self._put_back()
            self._close_spills()
            del item.stash[PROTOCOL_KEY]
            item._request = False  # type: ignore[assignment]
            item.funcargs = None  # type: ignore[assignment]
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return self.result if self.is_ours else None

    def _run_all(self) -> None:
        goes_on = True
        while goes_on:
            planned = self._runs[len(self.result.runs)]
            if planned.index > 1:
                item_run.renew_item(self.item, kept_properties=self._properties)
            self.live.show(self.item.nodeid, planned.index, len(self._runs))
            self.planned = planned
            self.current = self._make_run(planned)
            goes_on = self._run_once()

    def _run_once(self) -> bool:
        """Make one run; tell whether another is to follow."""
        started = time.perf_counter()
        keeps_locals = not self.settings.is_marked and self.settings.takes_all
        run = OneRun(
            self.item,
            self.current,
            self.planned,
            self._axes,
            keeps_locals=keeps_locals,
            timeout_s=self.settings.timeout_s,
            after_body=self._after_body,
        )
        self.result.runs.append(run.result)
        restart_timer(self.item)
        if self._repeats_examples:
            with examples.adapted_settings(self.item, self.settings.runs):
                reports = run.execute(self._run_examples)
        else:
            reports = run.execute()
        run.result.duration_s = time.perf_counter() - started
        if self.settings.wants_digests:
            run.result.settings = seeding.read_settings()
        if self.judge.has_raised:
            run.result.outcome, run.result.reason = "passed", ""
        self._fail_late_skip(run.result, reports[-1][0])
        goes_on = not self._is_last and run.result.outcome == "passed" and self.is_ours
        self.judge.settle(run.result)
        if not goes_on:
            self._log_all(run.result, reports)
        return self._tear_down(run.result, reports, goes_on)

    def _fail_late_skip(self, run: RunResult, report: pytest.TestReport) -> None:
        """A test that passes first and skips later did not give the same result."""
        if run.outcome == "skipped" and run.index > 1:
            report.outcome = "failed"
            report.longrepr = f"run 1 passed, run {run.index} skipped: {run.reason}"

    def _after_body(self, run: OneRun) -> None:
        if not self.settings.is_marked and self.planned.index == 1:
            self.is_ours = bool(self.current.artifacts.leaves) or run.took_locals
            self.judge.compares_outcome = run.took_locals
        if self.is_ours:
            if self._is_device_repeat:
                self.judge.take_device_repeat(self.current.artifacts)
                self.judge.raise_unless_reproducible()
                return
            self.judge.take_effects(self.planned, run.effects)
            comparison = self.judge.take(run.result, self.current.artifacts, self.planned)
            if self._is_control and comparison is not None and self.judge.findings is not None:
                self.judge.findings.take_control(comparison)
            if self._is_last and self.judge.needs_control:
                self._add_control()
            if self._is_last and self.judge.suspect is not None:
                self._add_device_repeat(self.judge.suspect)
            if self._is_last:
                self.judge.raise_unless_reproducible()

    def _add_control(self) -> None:
        """Repeat run 1 once more: whether an axis is to blame hangs on whether a plain repeat agrees."""
        first = self._runs[0]
        self._is_control = True
        self._runs = (*self._runs, replace(first, index=len(self._runs) + 1))

    def _add_device_repeat(self, suspect: PlannedExecution) -> None:
        """Repeat a run that differs on its own device: one that differs from itself says nothing of two devices."""
        self._is_device_repeat = True
        self._runs = (*self._runs, replace(suspect, index=len(self._runs) + 1))

    def _run_examples(self, original: Callable[[], None]) -> None:
        __tracebackhide__ = True
        runs = self.settings.runs
        ledger = examples.ExampleLedger(self.result, self.settings.policy, runs, repeats_silent=self.is_ours)
        try:
            with examples.repeated_examples(self.item, self._begin_example_run, ledger, runs):
                original()
        finally:
            # Also where Hypothesis could not repeat a divergence that was seen: it was seen.
            self.is_ours = self.is_ours or ledger.gave_something
            self.judge.compares_outcome = not self.settings.is_marked and not ledger.gave_something
            self.judge.take_examples(ledger)
        if self.is_ours:
            raise_own(self.judge.raise_unless_reproducible)

    def _begin_example_run(self, index: int) -> CurrentRun:
        self.current = self._make_run(self.planned, index)
        if self.repro is not None:
            self.repro.begin(self.current)
        seeding.seed_everything(self.current.seed)
        return self.current

    @contextmanager
    def wider_fixture(self, name: str) -> Iterator[None]:
        """Set up a fixture that outlives the test from a seed of its own.

        Else run 1, which sets it up, would hand the generators on to the test in another state than run 2,
        which finds it there; and what the fixture draws would hang on which test asks first.
        """
        before = seeding.save_state()
        seeding.seed_everything(seeding.derive_seed(self.settings.base_seed, name))
        try:
            yield
        finally:
            if self._state is not None and seeding.changed_flags(before):
                self._state = seeding.with_flags_now(self._state)
            seeding.restore_state(before, flags=False)

    def _tear_down(self, run: RunResult, reports: Reports, goes_on: bool) -> bool:
        session = self.item.session
        ends = bool(session.shouldfail or session.shouldstop)
        nextitem = item_run.stand_in(self.item) if goes_on else None if ends else self.nextitem
        report, call = item_run.run_phase(self.item, "teardown", nextitem=nextitem)
        if goes_on and report.passed:
            for earlier in (*(earlier for earlier, _ in reports), report):
                phase = str(earlier.when)
                self._earlier_s[phase] = self._earlier_s.get(phase, 0.0) + earlier.duration
            return True
        if goes_on:
            self._log_all(run, reports)
            # Only function scope was torn down; bring the rest to where the next test expects it, without
            # calling the teardown hooks twice, which plugins do not survive.
            CallInfo.from_call(lambda: session._setupstate.teardown_exact(self.nextitem), when="teardown")
        self._put_back_or_fail(report)
        if not report.passed:
            run.outcome, run.reason = "error", reason_of(report)
            self.judge.settle(run)
        if self.is_ours:
            # Along with the last report: the only way out of an xdist worker.
            report.repro = result_to_json(self.result)  # type: ignore[attr-defined]
        self._log(run, report, call)
        return False

    def _put_back(self) -> None:
        """Put generators and flags back to what they were before the test, once, and note what it left changed."""
        if self._state is not None:
            state, self._state = self._state, None
            # An ordinary test may set a flag for those after it; nobody asked for it to be watched.
            self.result.notes += seeding.restore_state(state, flags=self.is_ours)

    def _put_back_or_fail(self, report: pytest.TestReport) -> None:
        try:
            self._put_back()
        except ReproError as error:
            told = f"{report.longreprtext}\n{error}" if report.failed else str(error)
            report.outcome, report.longrepr = "failed", told

    def _log_all(self, run: RunResult, reports: Reports) -> None:
        for report, call in reports:
            self._log(run, report, call)

    def _log(self, run: RunResult, report: pytest.TestReport, call: CallInfo[None]) -> None:
        self.live.clear()
        # What the user waited for: --durations and JUnit would else tell of the last run alone.
        report.duration += self._earlier_s.pop(str(report.when), 0.0)
        if self.is_ours and report.failed and run.outcome != "passed":
            report.sections.append(("pytest-repro", self.judge.describe_run_failure(run)))
        # JUnit's file takes them from the teardown's report.
        if self.is_ours and report.when in ("call", "teardown"):
            report.user_properties += junit_properties(self.result)
        item_run.log_report(self.item, report, call)
