"""The plugin of a child process: runs the one test of its job, and leaves an answer."""

from __future__ import annotations

import faulthandler
import io
import os
import resource
import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from _pytest._io import TerminalWriter

from pytest_repro import seeding
from pytest_repro.capturing import Spill
from pytest_repro.capturing.store import write_artifacts
from pytest_repro.engines import item_run
from pytest_repro.engines.base import PlannedExecution, RunOutcome, RunSettings
from pytest_repro.engines.current import HOLDER_KEY, CurrentRun, RunHolder
from pytest_repro.engines.fork_server import die_with_parent
from pytest_repro.engines.imported import ImportedModules
from pytest_repro.engines.in_process import OneRun
from pytest_repro.engines.item_run import ItemState, is_pass, place_of, reason_of
from pytest_repro.engines.job import (
    BEGUN_NAME,
    SOURCE,
    ChildAnswer,
    ChildJob,
    address_of,
    identify,
    identify_source,
)
from pytest_repro.engines.measured import Measurement
from pytest_repro.engines.parameters import describe_changed, digest_parameters, find_changed
from pytest_repro.engines.relay import MAX_WARNINGS, describe_warning
from pytest_repro.engines.reported_once import is_subtest
from pytest_repro.engines.wider_fixtures import WiderFixtures
from pytest_repro.errors import ReproError
from pytest_repro.model import Artifacts, TolerancePolicy
from pytest_repro.model.codec import encode
from pytest_repro.model.secret_values import list_remembered
from pytest_repro.session.across import Across, find_across
from pytest_repro.session.child_config import capture_into, configure_child, keep_to_itself
from pytest_repro.session.collection import SeededCollection, seeded_collection_of
from pytest_repro.session.equivalence_axes import bind_assertions
from pytest_repro.session.packages import find_imported, seed_of_fixture, take_collected
from pytest_repro.tracing.variables import variables_read
from pytest_repro.undisturbed import Undisturbed

if TYPE_CHECKING:
    from pytest_repro.sources.import_probe import ImportProbe
    from pytest_repro.sources.probing import ProbeRecorder
    from pytest_repro.tracing.watch_job import Watch

MAX_SECTION_CHARACTERS = 64 * 1024
#: How long a child may take to end once it has left its answer.
EXIT_S = 5.0
PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


#: What a diagnosis requested for the time until the run begins.
_import_probe: ImportProbe | None = None


def begin_imports(path: str) -> None:
    """Begin what the job of a file requests for the time in which the user's modules are imported."""
    global _import_probe
    job = ChildJob.read(Path(path))
    if job.probe is None or not job.probe.get("at_import"):
        return
    from pytest_repro.sources.import_probe import ImportProbe
    from pytest_repro.sources.pins import PATCHED

    pins = job.condition.get(PATCHED.name)
    watched = nullcontext() if job.watch is None or job.coverage is not None else _watch_of(job.watch).enter_imports()
    _import_probe = ImportProbe(map(str, pins if isinstance(pins, list) else ()), watched)


def _watch_of(request: dict[str, Any]) -> Watch:
    from pytest_repro.tracing.watch_job import Watch

    return Watch.from_json(request)


def make_plugin(config: pytest.Config, path: str) -> ChildPlugin:
    """Have a session with the parent's arguments serve the job of a file."""
    die_with_parent()
    job = ChildJob.read(Path(path))
    configure_child(config, [job.path], job.options, Path(job.directory))
    plugin = ChildPlugin(job)
    plugin.begin(None)
    return plugin


def _read_cpu_s() -> float:
    usages = [resource.getrusage(who) for who in PROCESSES]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _make_probe_recorder(job: ChildJob) -> ProbeRecorder | None:
    """Return what carries out a diagnosis' request. A run without one imports none of it."""
    if job.probe is None:
        return None
    from pytest_repro.sources.probing import ProbeRecorder, ProbeRequest

    return ProbeRecorder(ProbeRequest(**job.probe))


class SeriesPlace(NamedTuple):
    """The place of a run in a process that runs one test after the other.

    `tests_before` is the number of tests that it has run, and `following` the next one, for which the fixtures that
    outlive this test are kept.
    """

    wider: WiderFixtures
    tests_before: int = 0
    following: pytest.Function | None = None


class ChildPlugin:
    """Runs the job's test and nothing else. Without the collected test's fingerprint, `answer` computes it."""

    def __init__(self, job: ChildJob, identity: str = "", place: SeriesPlace | None = None) -> None:
        self.job = job
        self.directory: Path = Path(job.directory)
        self.has_answered: bool = False
        condition = job.as_condition()
        self._planned = PlannedExecution(job.index, job.seed, condition, condition, TolerancePolicy())
        self._spill = Spill(self.directory, job.memory_limit_bytes)
        self._identity = identity
        self._probe_recorder = _make_probe_recorder(job)
        self._imported: ImportedModules | None = None
        self._cpu_before_s = 0.0
        self._measurement: Measurement | None = None
        self._config: Any = None
        self._current: CurrentRun | None = None
        self._place = place or SeriesPlace(WiderFixtures())
        self._seeds: SeededCollection | None = None
        self._subtests: list[dict[str, Any]] = []
        self._not_left: OneRun | None = None

    def begin(self, imported: ImportedModules | None) -> None:
        """Begin in the process of the run, with its imports watched in a fork, whose server can learn them."""
        self._imported = imported
        self._cpu_before_s = _read_cpu_s() if self._place.tests_before else 0.0
        if self.job.coverage is not None:
            self._measurement = Measurement(self.job.coverage, self.directory, is_fork=imported is not None)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        keep_to_itself(config, self.directory)
        capture_into(config, self.directory)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        if self._seeds is None:
            self._seeds = seeded_collection_of(collector.config, self.job.options)
        with nullcontext() if self._seeds is None else self._seeds.around(collector):
            return (yield)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        take_collected(session)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note_report(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        with self.setting_up(fixturedef):
            return (yield)

    def note_report(self, report: pytest.TestReport) -> None:
        """Keep the report of a subtest for the parent, which publishes it."""
        if is_subtest(report):
            hook = self._config.hook
            self._subtests.append(hook.pytest_report_to_serializable(config=self._config, report=report))

    def setting_up(self, fixturedef: Any) -> AbstractContextManager[Any]:
        """Return the context in which a fixture is set up: one with a wider scope has a seed of its own."""
        if self._current is None:
            return nullcontext()
        if fixturedef.scope == "function":
            self._begin_test(self._current)
            return nullcontext()
        return self._setting_up_wider(fixturedef, self._current)

    def _begin_test(self, current: CurrentRun) -> None:
        current.has_begun = True
        if self._probe_recorder is not None:
            self._probe_recorder.begin_test()

    @contextmanager
    def _setting_up_wider(self, fixturedef: Any, current: CurrentRun) -> Iterator[None]:
        seed = seed_of_fixture(self.job.base_seed, fixturedef)
        with self._place.wider.setting_up(fixturedef, seed, is_first=not current.has_begun):
            yield
        if self._probe_recorder is not None:
            self._probe_recorder.take_fixture(fixturedef, has_begun=current.has_begun)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if isinstance(item, pytest.Function) and address_of(item) == (self.job.path, self.job.name):
            # Without the next item: this is the last one that the session runs, whatever else the file holds.
            self.answer(item)
        return True

    def answer(self, item: pytest.Function) -> None:
        """Run the job's test, and leave an answer."""
        self._config = item.config
        answer = self._reject(item) or self._run(item)
        try:
            with Undisturbed():
                answer.write(self.directory)
        except OSError as error:
            os.write(2, f"pytest-repro: the answer could not be written: {error}\n".encode())
            return
        self.has_answered = True
        # A hook, an exit handler or a thread that hangs from here on can change nothing any more.
        faulthandler.dump_traceback_later(EXIT_S, exit=True, file=sys.__stderr__ or 2)

    def _reject(self, item: pytest.Function) -> ChildAnswer | None:
        is_source = self.job.identity.startswith(SOURCE)
        if (identify_source(item) if is_source else self._identity or identify(item)) == self.job.identity:
            return self._reject_parameters(item)
        reason = "the test collected here under this node id is another one: its source differs from the parent's"
        return ChildAnswer(self.job.nonce, "error", reason, longrepr=reason)

    def _reject_parameters(self, item: pytest.Function) -> ChildAnswer | None:
        changed = find_changed(self.job.parameters, digest_parameters(item)) if self.job.parameters else []
        if not changed:
            return None
        reason = describe_changed(changed)
        return ChildAnswer(self.job.nonce, "error", reason, longrepr=reason)

    def _run(self, item: pytest.Function) -> ChildAnswer:
        if self._imported is None:  # a fork begins immediately, and its parent does not wait for the file
            (self.directory / BEGUN_NAME).touch()
        seeding.register_from_hook(item.config.hook.pytest_repro_register_rng(config=item.config))
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if self._measurement is not None:
            self._measurement.begin_test(item.nodeid)
        # The parent publishes reports and warnings, once: a plugin that counts or sends them sees one test.
        with warnings.catch_warnings(record=True) as warned:
            run, reports = self._make_runs(item)
        with Undisturbed(keeps_settings=True):
            return self._describe(run.outcome, reports, warned)

    def _describe(
        self, outcome: RunOutcome, reports: list[pytest.TestReport], warned: list[warnings.WarningMessage]
    ) -> ChildAnswer:
        answer = ChildAnswer(
            self.job.nonce,
            outcome.outcome,
            outcome.reason,
            outcome.where,
            took_locals=outcome.took_locals,
            seconds=outcome.seconds,
            warnings=[describe_warning(message) for message in warned[:MAX_WARNINGS]],
            effects=[effect.to_json() for effect in outcome.effects],
            settings=seeding.read_settings(),
            inputs=self._inputs(outcome),
            equivalences=encode(outcome.equivalences),
            seen={} if self._probe_recorder is None else self._probe_recorder.to_json(),
            reached=[[entry.kind, entry.place] for entry in outcome.reached],
            tests_before=self._place.tests_before,
            refused=[[entry.name, entry.type_name, entry.reason] for entry in outcome.refused],
            subtests=self._subtests,
            secrets=list_remembered(),
            judgements=[[j.assertion, j.verdict, j.message, count] for j, count in outcome.judgements.items()],
        )
        self._take_reports(answer, reports)
        if answer.outcome == "passed":
            self._write_artifacts(answer, outcome.artifacts)
        if self._measurement is not None:
            self._measurement.save()
        if self._imported is not None:
            answer.imported, answer.sources = self._imported.find_new(), self._imported.find_new_sources()
        answer.peak_kib = max(resource.getrusage(who).ru_maxrss for who in PROCESSES)
        answer.cpu_s = _read_cpu_s() - self._cpu_before_s
        return answer

    @staticmethod
    def _inputs(outcome: RunOutcome) -> dict[str, dict[str, Any]]:
        files = {**outcome.inputs.get("files", {}), **dict.fromkeys(find_imported(), True)}
        return {**outcome.inputs, "files": files, "variables": dict.fromkeys(variables_read(), True)}

    def _make_runs(self, item: pytest.Function) -> tuple[OneRun, list[pytest.TestReport]]:
        """Make the run, or as many as a diagnosis requests, and return the last one."""
        recorder = self._probe_recorder
        if recorder is not None and _import_probe is not None:
            recorder.at_import = _import_probe.finish()
        repeats = 1 if recorder is None else recorder.probe.repeats
        if recorder is not None:
            recorder.begin()
        state = ItemState(item)
        for index in range(repeats):
            if index:
                state.renew()
            with recorder.around_run(index) if recorder is not None else nullcontext():
                run = self._make_one(item)
                reports = [report for report, _ in run.execute()]
            is_last = index == repeats - 1 or run.outcome.outcome != "passed"
            nextitem = self._place.following if is_last else item_run.next_item_of(item)
            ends_session = self.job.index == 1
            reports.append(item_run.run_phase(item, "teardown", ends_session=ends_session, nextitem=nextitem)[0])
            if is_last and recorder is not None:
                # Undoing all replacements takes as long as the search for them, and the process ends. Kept, since a
                # context undoes itself when nothing refers to it any more.
                self._not_left = run
                break
            run.leave()
            if is_last:
                break
        return run, reports

    def _make_one(self, item: pytest.Function) -> OneRun:
        current = self._current = self._planned.begin(spill=self._spill)
        item.stash[HOLDER_KEY] = RunHolder(current)
        across = find_across(item) or Across()
        return OneRun(
            item,
            current,
            self._planned,
            RunSettings(self.job.axes, self.job.keeps_locals, hints=self.job.hints),
            take=self._note_end,
            arguments=bind_assertions(across.assertions, current),
            scratch=self.directory,
            watch=self._make_watch(),
            wider=self._place.wider,
            before_body=self._probe_recorder.before_body if self._probe_recorder is not None else None,
        )

    def _make_watch(self) -> Watch | None:
        return None if self.job.watch is None else _watch_of(self.job.watch)

    def _note_end(self, outcome: RunOutcome) -> None:
        if self._imported is not None:
            self._imported.note_end()

    def _take_reports(self, answer: ChildAnswer, reports: list[pytest.TestReport]) -> None:
        for report in reports:
            if is_pass(report):
                continue
            if not answer.longrepr:
                answer.longrepr = _text_of(report)[:MAX_SECTION_CHARACTERS]
                answer.wasxfail = hasattr(report, "wasxfail")
            if report.when == "teardown":
                answer.outcome, answer.reason = "error", answer.reason or reason_of(report)
                answer.where = answer.where or place_of(report)
                answer.wasxfail = False
        answer.sections = [[name, text[-MAX_SECTION_CHARACTERS:]] for name, text in reports[-1].sections]

    def _write_artifacts(self, answer: ChildAnswer, artifacts: Artifacts) -> None:
        try:
            write_artifacts(artifacts, self.directory / "artifacts")
            answer.has_artifacts = True
        except (OSError, ReproError) as error:
            answer.outcome, answer.reason = "error", f"the run's results could not be handed over: {error}"
            answer.longrepr = answer.reason


def _text_of(report: pytest.TestReport) -> str:
    """Return the text of a failure without colours. pytest's own `longreprtext` strips the first line's indentation."""
    file = io.StringIO()
    writer = TerminalWriter(file)
    writer.hasmarkup = False
    report.toterminal(writer)
    return file.getvalue().strip("\n").rstrip()
