"""All runs of one test in processes of their own; this process compares, and reports an ordinary test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes import Effect, Engine, Isolation, isolate
from pytest_repro.engines import item_run
from pytest_repro.engines.child_session import ChildSessions, give_up_forks, refuses_fork
from pytest_repro.engines.fork_client import ForkServerError
from pytest_repro.engines.job import ChildAnswer
from pytest_repro.engines.live_logs import show_live_logs
from pytest_repro.engines.warned import WarningRelay
from pytest_repro.errors import ChildError
from pytest_repro.model import Artifacts, Comparison, Condition, EquivalenceFinding, RunResult, TestResult
from pytest_repro.model.codec import decode
from pytest_repro.reporting.json_report import junit_properties, result_to_json
from pytest_repro.session.concurrency import side_by_side
from pytest_repro.session.judging import Judge
from pytest_repro.session.one_run import raise_own, reason_of
from pytest_repro.session.planning import Plan, PlannedExecution
from pytest_repro.session.settings import TestSettings

if TYPE_CHECKING:
    from pytest_repro.session.recorder import Recorder

#: A shorter first run is made again once the server has imported what it had to import, so that all runs have found
#: the same modules; after a longer one the imports weigh nothing, and the server learns them when the test is over.
SHORT_S = 20.0

Answer = tuple[ChildAnswer, Artifacts]


class RunFailedError(AssertionError):
    """A run failed by itself, in its own process; the message is what pytest says of it there."""

    summary = ""
    raised_by_plugin = False


class IsolatedProtocol:
    """Drives a test whose runs need processes of their own.

    The item is set up without its fixtures, which belong into the children; where pytest would run the test
    function, the children are run and compared. So marks, reports and other plugins work as for any test.

    Parameters
    ----------
    item, nextitem : pytest.Item
    settings : TestSettings
    make_judge : callable
        Makes what judges the runs; anew if they must be made again by another engine.
    plan : Plan
    recorder : Recorder
    """

    def __init__(
        self,
        item: pytest.Function,
        nextitem: pytest.Item | None,
        settings: TestSettings,
        make_judge: Callable[[], Judge],
        plan: Plan,
        recorder: Recorder,
    ) -> None:
        self.item = item
        self.nextitem = nextitem
        self.settings = settings
        self.make_judge = make_judge
        self.judge = make_judge()
        self.plan = plan
        self.recorder = recorder
        self.live = recorder.live
        self.is_ours = settings.is_marked or settings.takes_all
        self._sections: list[list[str]] = []
        self._warnings = WarningRelay(item)
        self._children: ChildSessions | None = None
        self._peak_kib = 0
        self._shows_output = item.config.getoption("capture", "fd") in ("no", "tee-sys")

    @property
    def result(self) -> TestResult:
        """What is known of the test so far."""
        return self.judge.result

    @contextmanager
    def wider_fixture(self, name: str) -> Iterator[None]:
        """Fixtures belong to the children; what is set up here is not part of a run."""
        yield

    def run(self) -> None:
        """Run the test to its verdict."""
        item = self.item
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            with item_run.own_failures_shown_plainly(item), _without_fixtures(item):
                self._run_phases()
        finally:
            self.live.clear()
            item._request = False  # type: ignore[assignment]
            item.funcargs = None  # type: ignore[assignment]
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _run_phases(self) -> None:
        setup, setup_call = item_run.run_phase(self.item, "setup")
        item_run.log_report(self.item, setup, setup_call)
        if setup.passed:
            with item_run.replaced_runtest(self.item, self._runtest):
                report, call = item_run.run_phase(self.item, "call")
            report.sections += [(name, text) for name, text in self._sections]
            report.user_properties += junit_properties(self.result)
            self.live.clear()
            item_run.log_report(self.item, report, call)
        else:
            run = RunResult(1, outcome="skipped" if setup.skipped else "error", reason=reason_of(setup))
            self.result.runs.append(run)
            self.judge.settle(run)
        session = self.item.session
        nextitem = None if session.shouldfail or session.shouldstop else self.nextitem
        teardown, teardown_call = item_run.run_phase(self.item, "teardown", nextitem=nextitem)
        if self.is_ours:
            # JUnit's file takes them from the teardown's report.
            teardown.user_properties += junit_properties(self.result)
            teardown.repro = result_to_json(self.result)  # type: ignore[attr-defined]
        item_run.log_report(self.item, teardown, teardown_call)

    def _runtest(self, original: Callable[[], None]) -> None:
        __tracebackhide__ = True
        reason = ""
        if self.plan.engine == "fork":
            reason = refuses_fork(self.item.config) or self._try_forks()
            if not reason:
                return
            self.judge = self.make_judge()
            self.result.notes.append(f"each run was made by a fresh interpreter, not by a fork: {reason}")
        self._make_runs("spawn")

    def _try_forks(self) -> str:
        """Make the runs by forks; say why not, if it turned out that they cannot be."""
        __tracebackhide__ = True
        try:
            self._make_runs("fork")
        except ForkServerError as error:
            give_up_forks(self.item.config)
            return str(error)
        return ""

    def _make_runs(self, engine: Engine) -> None:
        """Make and compare all runs by one engine."""
        __tracebackhide__ = True
        self.result.engine = engine
        first, *others = self.plan.runs
        keeps_locals = not self.settings.is_marked and self.settings.takes_all
        self._children = ChildSessions(
            self.item,
            self.plan.axis_names,
            keeps_locals=keeps_locals,
            timeout_s=self.settings.timeout_s,
            engine=engine,
            find_paths=self._find_paths,
            echo=self._echo if self._shows_output else None,
            memory_limit_bytes=self.recorder.settings.memory_limit_bytes,
        )
        try:
            # Alone: a test that fails by itself is not started again, and the others are sized by what this one took.
            self._take(first, lambda: self._ask_first(first, others))
            most = 1 if self._shows_output else None
            with side_by_side(
                self._ask_child, others, stop=self._children.stop, peak_kib=self._peak_kib, most=most
            ) as answers:
                for planned, answer in answers:
                    comparison = self._take(planned, answer)
                    if comparison is not None and comparison.divergences:
                        self._take_apart(planned)
            if self.judge.suspect is not None:
                self._repeat_on_device(self.judge.suspect)
            raise_own(self.judge.raise_unless_reproducible)
        finally:
            self._children.close()

    def _ask_first(self, first: PlannedExecution, others: Sequence[PlannedExecution]) -> Answer:
        assert self._children is not None
        answer, artifacts = self._ask_child(first.index, first.complete, first.seed)
        self._peak_kib = answer.peak_kib
        if not answer.imported and not answer.sources:
            return answer, artifacts
        is_short = answer.seconds < SHORT_S
        self._children.learn(answer, at_once=is_short)
        # Modules of our own make no difference to a test, nor do the lines of sources.
        changes_others = any(not name.startswith("pytest_repro.") for name in answer.imported)
        if is_short and changes_others and answer.outcome == "passed" and others:
            answer, artifacts = self._ask_child(first.index, first.complete, first.seed)
            if answer.sources:
                # Modules are learnt once: what the other runs find must not change any more.
                self._children.learn(answer, at_once=True, sources_alone=True)
        return answer, artifacts

    def _find_paths(self) -> list[str]:
        """Return the files of all tests that this session may run by forks."""
        return sorted({str(item.path) for item in self.item.session.items if self.recorder.takes(item)})

    def _echo(self, output: bytes) -> None:
        self.live.clear()
        sys.stdout.flush()
        with suppress(OSError):
            os.write(1, output)

    def _take(self, planned: PlannedExecution, ask: Callable[[], Answer]) -> Comparison | None:
        """Take one run's answer and compare it; raise what its own failure is in pytest's terms."""
        __tracebackhide__ = True
        self.live.show(self.item.nodeid, planned.index, len(self.plan.runs))
        run = RunResult(planned.index, planned.differs_in)
        self.result.runs.append(run)
        try:
            answer, artifacts = ask()
        except ForkServerError:
            raise
        except ChildError as error:
            run.outcome, run.reason = "error", str(error)
            self.judge.settle(run)
            error.raised_by_plugin = True  # type: ignore[attr-defined]
            raise
        run.outcome, run.reason = answer.outcome, answer.reason  # type: ignore[assignment]
        run.duration_s, run.settings, run.inputs = answer.seconds, answer.settings, answer.inputs
        run.equivalences = decode(list[EquivalenceFinding], answer.equivalences, "equivalences")
        self._sections = answer.sections
        if not self._shows_output:
            self.live.clear()
            show_live_logs(self.item.config, answer.sections, planned.index, len(self.plan.runs))
        self._warnings.tell(answer.warnings)
        if answer.outcome != "passed":
            self._raise_as_pytest(run, answer)
        self.judge.take_effects(planned, tuple(Effect.from_json(effect) for effect in answer.effects))
        self.judge.compares_outcome = answer.took_locals
        return raise_own(lambda: self.judge.take(run, artifacts, planned))

    def _ask_child(self, index: int, condition: Condition, seed: int) -> Answer:
        assert self._children is not None
        return self._children.run(index, seed, condition)

    def _raise_as_pytest(self, run: RunResult, answer: ChildAnswer) -> None:
        __tracebackhide__ = True
        self.judge.settle(run)
        if answer.wasxfail:
            raise pytest.xfail.Exception(answer.reason)
        if run.outcome == "skipped" and run.index == 1:
            raise pytest.skip.Exception(answer.reason)
        text = answer.longrepr or answer.reason
        error = RunFailedError(f"{text}\n\n{self.judge.describe_run_failure(run)}")
        error.summary = answer.reason
        error.raised_by_plugin = True
        raise error

    def _take_apart(self, planned: PlannedExecution) -> None:
        """Find the smallest set of axes under which a run still differs, unless that is known already."""
        findings = self.judge.findings
        if findings is None or not findings.needs_isolation(planned.differs_in):
            return

        def differs(condition: Condition) -> bool:
            self.live.show(f"{self.item.nodeid} taken apart", planned.index, len(self.plan.runs))
            answer, artifacts = self._ask_child(planned.index, self.plan.conditions.complete(condition), planned.seed)
            return answer.outcome != "passed" or bool(self.judge.compare(artifacts, planned).divergences)

        try:
            isolation = isolate(differs, planned.differs_in)
            findings.take_isolation(planned.index, isolation)
            if isolation.axes == ("isa",):
                from pytest_repro.diagnosis.axis_causes import find_libraries

                self.result.components["isa"] = find_libraries(differs, planned.differs_in.as_dict()["isa"])
        except ForkServerError:
            raise
        except ChildError as error:
            findings.take_isolation(planned.index, Isolation("not_isolated", reason=str(error)))

    def _repeat_on_device(self, suspect: PlannedExecution) -> None:
        """Repeat a run that differs on its own device: one that differs from itself says nothing of two devices."""
        self.live.show(f"{self.item.nodeid} repeated on {suspect.device}", suspect.index, len(self.plan.runs))
        answer, artifacts = self._ask_child(suspect.index, suspect.complete, suspect.seed)
        if answer.outcome == "passed":
            self.judge.take_device_repeat(artifacts)


@contextmanager
def _without_fixtures(item: pytest.Function) -> Iterator[None]:
    """Leave the item's own setup and teardown, which belong to the children, out of this process."""
    item.setup = lambda: None  # type: ignore[method-assign]
    item.teardown = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del item.setup, item.teardown
