"""The in-process engine: each run is a setup, a call and a teardown of the item, in this process.

A run's outcome is taken inside its call phase, where the test can still fail: xfail, ``--pdb``, JUnit and every other
plugin see an ordinary failing test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import CallInfo

from pytest_repro import seeding
from pytest_repro.axes import EngineName
from pytest_repro.capturing import Spill
from pytest_repro.capturing.run_texts import RunTexts
from pytest_repro.comparing.judgements import noting_judgements
from pytest_repro.engines import item_run
from pytest_repro.engines.base import Bind, Outcome, PlannedExecution, RunOutcome, RunSettings, Take, raise_own
from pytest_repro.engines.condition import applied, verify_condition
from pytest_repro.engines.current import HOLDER_KEY, CurrentRun, RunHolder
from pytest_repro.engines.item_run import ItemState, is_pass, place_of, reason_of
from pytest_repro.engines.parameters import ItemParameters
from pytest_repro.engines.reported_once import ReportedOnce
from pytest_repro.engines.temporary_folders import DrawnNames, TemporaryFolders, find_base
from pytest_repro.engines.time_limit import restart_timer, time_limit
from pytest_repro.engines.wider_fixtures import WiderFixtures
from pytest_repro.model import Artifacts
from pytest_repro.undisturbed import Undisturbed, phase, read_cpu_clock, read_stopwatch, remember, unpatched

if TYPE_CHECKING:
    from pytest_repro.tracing.watch_job import Watch

Reports = list[tuple[pytest.TestReport, CallInfo[None]]]
Publish = Callable[[pytest.TestReport, CallInfo[None]], None]


class OneRun:
    """Setup and call of one run. The caller tears down, since it knows what comes next, and then calls `leave`.

    Parameters
    ----------
    take : callable
        Called with the outcome inside the call phase once the test function has ended well. May raise to fail the test.
    arguments : mapping, optional
        Arguments of the test beyond the condition's.
    scratch : Path, optional
        Where an axis may make files. A temporary folder by default.
    watch : Watch, optional
        Have the user's code watched while the test function runs.
    before_body : callable, optional
        Called inside the call phase right before the test function.
    wider : WiderFixtures, optional
        What the fixtures that outlive the test have seeded.
    leaves_early : bool
        Undo the condition as soon as the test's own fixtures are torn down, before those of a wider scope are.
    marks : ItemState, optional
        The test's marks before its first run.
    """

    def __init__(
        self,
        item: pytest.Function,
        current: CurrentRun,
        planned: PlannedExecution,
        settings: RunSettings,
        *,
        take: Take,
        arguments: Mapping[str, Any] | None = None,
        scratch: Path | None = None,
        watch: Watch | None = None,
        before_body: Callable[[], None] | None = None,
        leaves_early: bool = False,
        marks: ItemState | None = None,
        wider: WiderFixtures | None = None,
    ) -> None:
        self.item = item
        self._marks = marks
        self._wider = wider
        self.current = current
        self.planned = planned
        self.outcome: RunOutcome = RunOutcome(inputs=current.inputs, equivalences=current.equivalences)
        self._settings = settings
        self._arguments = {**planned.arguments, **(arguments or {})}
        self._names = DrawnNames()
        self.take = take
        self._scratch = scratch
        self._watch = watch
        self._before_body = before_body
        self._leaves_early = leaves_early
        self._condition = ExitStack()
        self._at_end: list[Callable[[], None]] = []

    def execute(self, runtest: Callable[[Callable[[], None]], None] | None = None) -> Reports:
        """Run setup and call. `runtest` replaces the body of the call phase."""
        with noting_judgements(self.outcome.judgements):
            if not self._settings.hints:
                return self._execute(runtest)
            from pytest_repro.sources.reached import noting_reached

            with noting_reached(self.outcome.reached) as self._at_end:
                return self._execute(runtest)

    def _execute(self, runtest: Callable[[Callable[[], None]], None] | None) -> Reports:
        started, cpu_before_s = read_stopwatch(), read_cpu_clock()
        remember()
        for name, value in self._arguments.items():
            if name in self.item.fixturenames:
                self.item.callspec.params[name] = value
        failed_before = self.item.session.testsfailed
        ends_session = self.planned.index == 1
        self._enter()
        with seeding.seeds_on_import(self.current.seed), self._names.noted():
            with item_run.replaced_setup(self.item, self._setup):
                reports = [item_run.run_phase(self.item, "setup", ends_session=ends_session)]
            if reports[0][0].passed:
                if self.item.config.getoption("setupshow", False):
                    item_run.show_item(self.item)
                with item_run.replaced_runtest(self.item, runtest or self._runtest):
                    reports.append(item_run.run_phase(self.item, "call", ends_session=ends_session))
        report, call = reports[-1]
        if len(reports) == 1:
            self._note(report, "error")
        elif not (call.excinfo is None and is_pass(report)):
            self._note(report, "failed")
        elif self.item.session.testsfailed > failed_before:
            # Subtests report their failures on the way, and the test's own report passes.
            self.outcome.outcome, self.outcome.reason = "failed", "a subtest failed and was reported by itself"
        self.outcome.seconds, self.outcome.cpu_s = read_stopwatch() - started, read_cpu_clock() - cpu_before_s
        return reports

    def _enter(self) -> None:
        if not self._settings.axes:
            return
        with Undisturbed(keeps_settings=True):
            self._condition.enter_context(applied(self.planned.complete, self._settings.axes, self._scratch))

    def leave(self) -> None:
        """Undo the condition, unless that is done. Call it when the test's fixtures are torn down."""
        if self._settings.axes:
            with Undisturbed(keeps_settings=True):
                self._condition.close()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Undo the condition for a fixture that outlives the run, which would keep parts of it."""
        self.leave()
        try:
            yield
        finally:
            self._enter()

    def _setup(self, original: Callable[[], None]) -> None:
        if self._leaves_early:
            # Registered before any fixture's, and so called after all of them.
            self.item.session._setupstate.addfinalizer(self.leave, self.item)
        # The only seed of the run: what a fixture does to a generator, the test function finds. Inside the phase, since
        # pytest-randomly seeds in its own setup hook, which comes first.
        with Undisturbed(keeps_settings=True):
            seeding.seed_everything(self.current.seed)
            if self._wider is not None:
                self._wider.begin_test(item_run.find_wider_fixtures(self.item))
        original()

    def _runtest(self, original: Callable[[], None]) -> None:
        """Run the test function where pytest would, inside the call phase of every plugin."""
        __tracebackhide__ = True
        self.current.has_begun = True
        take_locals = self._take_locals if self._settings.keeps_locals else None
        with (
            item_run.caught_return(self.item, self._take_returned, take_locals),
            time_limit(self._settings.timeout_s),
            self._watch.enter() if self._watch is not None else nullcontext(),
        ):
            if self._before_body is not None:
                self._before_body()
            original()
        for end in self._at_end:
            end()
        if getattr(self.item, "_excinfo", None):
            return  # A TestCase keeps its failure aside, and pytest reports it.
        self._take_results()

    @unpatched
    def _take_results(self) -> None:
        __tracebackhide__ = True
        if self._settings.keeps_locals and not self.current.artifacts.leaves:
            self.current.settle_locals()
            self.outcome.took_locals = True
        self.current.close(find_base(self.item.config))
        self.outcome.artifacts, self.outcome.refused = self.current.artifacts, self.current.refused
        self.outcome.has_results = bool(self.current.artifacts.leaves) or self.outcome.took_locals
        with Undisturbed():
            self.outcome.effects = verify_condition(self.planned.complete, self._settings.axes)
        self.take(self.outcome)

    def _take_returned(self, value: Any) -> None:
        __tracebackhide__ = True
        if value is not None:  # most tests return nothing, and leaving their patches aside takes 0.1 ms
            raise_own(lambda: self.current.take_returned(value))

    def _take_locals(self, variables: Mapping[str, object], value: object) -> None:
        """Copy the local variables while the test function returns: they are not kept for longer than it would."""
        self.take_locals_of(self.current, variables, value)

    def take_locals_of(self, current: CurrentRun, variables: Mapping[str, object], value: object) -> None:
        """Copy the local variables of a call that returned nothing into a run that has no results yet."""
        if value is None and not current.artifacts.leaves:
            folders = [str(folder) for folder in (find_base(self.item.config), self._scratch) if folder is not None]
            current.take_locals(variables, RunTexts(folders, self._names.names))

    def _note(self, report: pytest.TestReport, otherwise: Outcome) -> None:
        is_xfail = report.skipped and hasattr(report, "wasxfail")
        is_skip = report.skipped and not is_xfail
        outcome = self.outcome
        outcome.outcome = "skipped" if is_skip else otherwise
        outcome.is_xfail, outcome.reason, outcome.where = is_xfail, reason_of(report), place_of(report)
        if self._marks is not None:
            outcome.ends_by_mark = self._marks.has_skip if is_skip else self._marks.has_xfail


class InProcessEngine:
    """Runs an item in this process. `publish` publishes the reports of the last run's setup and call.

    Attributes
    ----------
    torn_down : tuple of (TestReport, CallInfo)
        Of the last run, to be published when the test's verdict is settled.
    folders : TemporaryFolders
    """

    name: EngineName = "in_process"
    can_probe = False
    adds_control = True
    is_provisional = False

    def __init__(
        self,
        item: pytest.Function,
        nextitem: pytest.Item | None,
        settings: RunSettings,
        *,
        reads_settings: bool,
        bind: Bind,
        publish: Publish,
        wider: WiderFixtures | None = None,
    ) -> None:
        self.item = item
        self.torn_down: tuple[pytest.TestReport, CallInfo[None]]
        self._nextitem = nextitem
        self._settings = settings
        self._reads_settings = reads_settings
        self._bind = bind
        self._publish = publish
        self._wider = wider or WiderFixtures()
        self._spills: list[Spill] = []
        self._reports: Reports = []
        self._marks = ItemState(item)
        self._index = 1
        self._earlier_s: dict[str, float] = {}
        self.folders: TemporaryFolders = TemporaryFolders(item.config)
        self._parameters = ItemParameters(item, restores_all=settings.keeps_locals)
        self._reported = ReportedOnce(item)
        with Undisturbed(keeps_settings=True):
            self._state: seeding.State | None = seeding.save_state()
        self._run: OneRun | None = None
        self._baseline: Artifacts | None = None

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        """Run setup and call. `take` is called in the call phase."""
        assert take is not None
        self._index = planned.index
        if self._run is not None:
            self._run.current.artifacts = Artifacts()  # those of the run before were compared
        if planned.index > 1:
            self._marks.renew()
            self.folders.begin_repeat()
            self._parameters.restore()
        self._reported.begin_run(planned.index)
        current = self.begin(planned)
        self.item.stash[HOLDER_KEY] = RunHolder(current)
        run = OneRun(
            self.item,
            current,
            planned,
            self._settings,
            take=take,
            arguments=self._bind(current),
            leaves_early=True,
            marks=self._marks,
            wider=self._wider,
        )
        self._run = run
        restart_timer(self.item)
        self._reports = self._execute(run)
        if planned.index == 1:
            self._baseline = run.outcome.artifacts
        if self._reads_settings:
            with Undisturbed(keeps_settings=True):
                run.outcome.settings = seeding.read_settings()
        return run.outcome

    @unpatched
    def begin(self, planned: PlannedExecution, index: int | None = None) -> CurrentRun:
        """Return a new run in progress, which may be a repeat within a planned run."""
        # Two spills at most hold data, the baseline's and this run's. A reference run stays mapped longer.
        for spill in self._spills[1:]:
            spill.close()
        self._spills[1:] = [Spill(tempfile.gettempdir(), self._settings.memory_limit_bytes)]
        return planned.begin(index=index, spill=self._spills[-1], baseline=self._baseline)

    def _execute(self, run: OneRun) -> Reports:
        return run.execute()

    def finish(self, *, is_last: bool) -> bool:
        """Tear down what the run set up, all of it after the last run."""
        try:
            return self._finish(is_last=is_last)
        finally:
            self._reported.end_run()

    def _finish(self, *, is_last: bool) -> bool:
        if is_last:
            self._publish_reports()
        assert self._run is not None
        session = self.item.session
        nextitem = self._nextitem if not (session.shouldfail or session.shouldstop) else None
        if not is_last:
            with Undisturbed(keeps_settings=True):  # the test's patches are in place until it is torn down
                nextitem = item_run.next_item_of(self.item)
        report, call = item_run.run_phase(
            self.item,
            "teardown",
            ends_session=self._index == 1,
            nextitem=nextitem,
        )
        self._run.leave()
        if not is_last and report.passed:
            for earlier in (*(earlier for earlier, _ in self._reports), report):
                when = str(earlier.when)
                self._earlier_s[when] = self._earlier_s.get(when, 0.0) + earlier.duration
            return True
        if not is_last:
            self._publish_reports()
            # Only function scope was torn down. Bring the rest to where the next test expects it, without calling
            # the teardown hooks twice, which plugins do not survive.
            with phase():
                CallInfo.from_call(lambda: session._setupstate.teardown_exact(self._nextitem), when="teardown")
        self._add_earlier(report)
        self.torn_down = report, call
        return False

    def _publish_reports(self) -> None:
        for report, call in self._reports:
            self._add_earlier(report)
            self._publish(report, call)

    def _add_earlier(self, report: pytest.TestReport) -> None:
        # --durations and JUnit would otherwise show the time of the last run alone.
        report.duration += self._earlier_s.pop(str(report.when), 0.0)

    @contextmanager
    def setting_up(self, fixturedef: Any, find_seed: Callable[[], int]) -> Iterator[None]:
        """Surround the setup of a fixture. One that outlives the test is seeded from a seed of its own.

        Run 1, which sets it up, would otherwise hand the generators to the test in another state than run 2, which
        finds it there, and the fixture's own draws would depend on which test requests it first.
        """
        current = self.item.stash[HOLDER_KEY].run
        if fixturedef.scope == "function":
            current.has_begun = True
            yield
            return
        with Undisturbed():
            seed = find_seed()
        wider = self._wider.setting_up(fixturedef, seed, is_first=not current.has_begun)
        with (
            wider as before,
            self.folders.outliving(),
            self._run.suspended() if self._run is not None else nullcontext(),
        ):
            try:
                yield
            finally:
                with Undisturbed(keeps_settings=True):
                    if self._state is not None and seeding.changed_flags(before):
                        self._state = seeding.with_flags_now(self._state)

    def restore_state(self, *, flags: bool) -> list[str]:
        """Restore generators and flags to their state before the test, once, and return notes on the changes."""
        if self._state is None:
            return []
        state, self._state = self._state, None
        with Undisturbed(keeps_settings=True):
            return seeding.restore_state(state, flags=flags)

    def close(self) -> None:
        """Drop the captured data, and undo what a run that was interrupted left of its condition and its reports."""
        self._reported.end_run()
        self.folders.close()
        if self._run is not None:
            self._run.leave()
        for spill in self._spills:
            spill.close()
        if HOLDER_KEY in self.item.stash:
            del self.item.stash[HOLDER_KEY]
