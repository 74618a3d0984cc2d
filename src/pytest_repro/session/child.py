"""The plugin object of a child process: runs the one test of its job once, and leaves an answer."""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.capture import FDCapture
from _pytest.config import create_terminal_writer

from pytest_repro import seeding
from pytest_repro.capturing import Spill
from pytest_repro.capturing.store import write_artifacts
from pytest_repro.engines import item_run
from pytest_repro.engines.child_session import BEGUN_NAME, CAPTURED_NAMES, TERMINAL_NAME
from pytest_repro.engines.current import Repro
from pytest_repro.engines.fork_server import FORK_SERVER_VARIABLE, ForkServerSettings, die_with_parent
from pytest_repro.engines.imported import ImportedModules
from pytest_repro.engines.job import JOB_VARIABLE, ChildAnswer, ChildJob, address_of, identify
from pytest_repro.engines.measured import Measurement
from pytest_repro.engines.warned import MAX_WARNINGS, describe_warning
from pytest_repro.errors import ReproError
from pytest_repro.model import JSON, Artifacts, TolerancePolicy
from pytest_repro.model.codec import encode
from pytest_repro.session.one_run import OneRun, is_pass, reason_of
from pytest_repro.session.planning import PlannedExecution
from pytest_repro.session.protocol import PROTOCOL_KEY
from pytest_repro.tracing.watch_job import Watch

if TYPE_CHECKING:
    from pytest_repro.sources.probing import ProbeRecorder

#: Options that choose tests or write files: the child runs one test and writes its answer alone.
NEUTRAL_OPTIONS: dict[str, Any] = {
    "keyword": "",
    "markexpr": "",
    "deselect": None,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "pyargs": False,
    "xmlpath": None,
    "htmlpath": None,
    "log_file": os.devnull,
    "report_log": None,
    "json_report": False,
    "benchmark_json": None,
    "benchmark_autosave": False,
    "benchmark_save": None,
    "repro_json": None,
    "numprocesses": None,
    "dist": "no",
    "tx": [],
    "distload": False,
    "maxprocesses": None,
    "looponfail": False,
    "reruns": 0,
    "usepdb": False,
    "trace": False,
    "randomly_reorganize": False,
    "random_order_bucket": "none",
    "shard_id": 0,
    "num_shards": 1,
    "durations": None,
    "pastebin": None,
}
#: Plugins that keep state of the user's session on disk.
SESSION_PLUGINS = ("lfplugin", "nfplugin", "stepwiseplugin")
KEPT_SECTION_CHARACTERS = 64 * 1024
#: How long a child may take to end once it has left its answer.
EXIT_S = 5.0
PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def make_child(config: pytest.Config) -> object:
    """Turn a session that got the parent's arguments into one that serves it; return the plugin that does so."""
    die_with_parent()
    fork_server, job = os.environ.pop(FORK_SERVER_VARIABLE, None), os.environ.pop(JOB_VARIABLE, None)
    if fork_server is not None:
        from pytest_repro.session.fork_server_plugin import ForkServerPlugin

        settings = ForkServerSettings.read(Path(fork_server))
        _neutralise(config, settings.options, Path(settings.directory))
        config.args = sorted({_collectable(path) for path in settings.paths})
        return ForkServerPlugin(config, settings)
    assert job is not None
    read = ChildJob.read(Path(job))
    _neutralise(config, read.options, Path(read.directory))
    config.args = [_collectable(read.path)]
    recorder = ChildRecorder(read)
    recorder.begin(None)
    return recorder


def _collectable(path: str) -> str:
    """Return what to name on pytest's command line for a file: it takes a bracket for the values of a parameter."""
    within = Path(path.partition("[")[0]).parent
    return path if "[" not in path else str(within)


def _neutralise(config: pytest.Config, options: Mapping[str, JSON], directory: Path) -> None:
    for name, value in {**NEUTRAL_OPTIONS, **options}.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    config.option.basetemp = str(directory / "tmp")


def keep_to_itself(config: pytest.Config, directory: Path) -> None:
    """Have a child's pytest leave the user's cache alone, and write to a file what is meant for a terminal."""
    for name in SESSION_PLUGINS:
        if config.pluginmanager.hasplugin(name):
            config.pluginmanager.unregister(name=name)
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        # So that what the pipe carries is the test's own output. Kept: plugins ask for the reporter.
        file = (directory / TERMINAL_NAME).open("w", encoding="utf-8", errors="backslashreplace")
        reporter._tw = create_terminal_writer(config, file)


def capture_into(config: pytest.Config, directory: Path) -> None:
    """Have pytest capture output into named files, from which the end can be read of a run that was killed."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    for stream, name in zip(("out", "err"), CAPTURED_NAMES, strict=True):
        capture = getattr(manager._global_capturing, stream, None)
        if isinstance(capture, FDCapture):
            descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(descriptor, capture.tmpfile.fileno())
            os.close(descriptor)


def _make_probe_recorder(job: ChildJob) -> ProbeRecorder | None:
    """Return what carries out a diagnosis' wish; a run without one imports none of it."""
    if job.probe is None:
        return None
    from pytest_repro.sources.probing import ProbeRecorder, ProbeRequest

    return ProbeRecorder(ProbeRequest(**job.probe))


class ChildRecorder:
    """Runs the job's test and nothing else.

    Parameters
    ----------
    job : ChildJob
    identity : str
        Of the test that is here in its place; empty if it is still to be found out.
    """

    def __init__(self, job: ChildJob, identity: str = "") -> None:
        self.job = job
        self.repro: Repro | None = None
        condition = job.as_condition()
        self.directory = Path(job.directory)
        self.planned = PlannedExecution(job.index, job.seed, condition, condition, TolerancePolicy())
        self.spill = Spill(self.directory, job.memory_limit_bytes)
        self.current = self.planned.begin(spill=self.spill)
        self.has_answered = False
        self._identity = identity
        self._probe_recorder = _make_probe_recorder(job)
        self._imported: ImportedModules | None = None
        self._measurement: Measurement | None = None

    def begin(self, imported: ImportedModules | None) -> None:
        """Note what happens from now on, in the process of the run.

        Parameters
        ----------
        imported : ImportedModules, optional
            Watches what the run imports, where somebody may learn from it: in a fork.
        """
        self._imported = imported
        if self.job.coverage is not None:
            self._measurement = Measurement(self.job.coverage, self.directory, is_fork=imported is not None)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        keep_to_itself(config, self.directory)
        capture_into(config, self.directory)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if not isinstance(item, pytest.Function) or address_of(item) != (self.job.path, self.job.name):
            return True
        # The last one that this session runs, whatever stands beside it in the file.
        self.answer(item)
        return True

    def answer(self, item: pytest.Function) -> None:
        """Run the job's test, and leave an answer."""
        self._leave(self._refuse(item) or self._run(item))

    def _leave(self, answer: ChildAnswer) -> None:
        try:
            answer.write(self.directory)
        except OSError as error:
            os.write(2, f"pytest-repro: the answer could not be written: {error}\n".encode())
            return
        self.has_answered = True
        # What hangs from here on (a hook, an exit handler, a thread that never ends) can change nothing any more.
        faulthandler.dump_traceback_later(EXIT_S, exit=True, file=sys.__stderr__ or 2)

    def _refuse(self, item: pytest.Function) -> ChildAnswer | None:
        if (self._identity or identify(item)) == self.job.identity:
            return None
        reason = "the test collected here under this node id is another one: its source differs from the parent's"
        return ChildAnswer(self.job.nonce, "error", reason, longrepr=reason, phase="setup")

    def _run(self, item: pytest.Function) -> ChildAnswer:
        if self._imported is None:  # a fork is there at once, and nobody asks
            (self.directory / BEGUN_NAME).touch()
        seeding.register_from_hook(item.config.hook.pytest_repro_register_rng(config=item.config))
        stash: Any = item.stash
        stash[PROTOCOL_KEY] = self
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if self._measurement is not None:
            self._measurement.begin_test(item.nodeid)
        # Reports and warnings are the parent's to publish, once: a plugin that counts or sends them sees one test.
        with warnings.catch_warnings(record=True) as warned:
            run, reports, seconds = self._make_runs(item)
        answer = ChildAnswer(self.job.nonce, run.result.outcome, run.result.reason, took_locals=run.took_locals)
        answer.seconds = seconds
        answer.warnings = [describe_warning(message) for message in warned[:MAX_WARNINGS]]
        self._take_reports(answer, reports)
        answer.effects = [effect.to_json() for effect in run.effects]
        answer.settings = seeding.read_settings()
        answer.inputs = self.current.inputs
        answer.equivalences = encode(self.current.equivalences)
        answer.seen = {} if self._probe_recorder is None else self._probe_recorder.to_json()
        if answer.outcome == "passed":
            self._write_artifacts(answer, self.current.artifacts)
        if self._measurement is not None:
            self._measurement.save()
        if self._imported is not None:
            answer.imported, answer.sources = self._imported.find_new(), self._imported.find_new_sources()
        if self.job.watch is not None and Path(str(self.job.watch["path"])).exists():
            answer.trace = str(self.job.watch["path"])
        answer.peak_kib = max(resource.getrusage(who).ru_maxrss for who in PROCESSES)
        return answer

    def _make_runs(self, item: pytest.Function) -> tuple[OneRun, list[pytest.TestReport], float]:
        """Make the run; where a diagnosis asks for repetitions, make several and give the last."""
        repeats = 1 if self._probe_recorder is None else self._probe_recorder.probe.repeats
        if self._probe_recorder is not None:
            self._probe_recorder.begin()
        for index in range(repeats):
            if index:
                item_run.renew_item(item)
                self.current = self.planned.begin(spill=self.spill)
            with self._probe_recorder.around_run(index) if self._probe_recorder is not None else nullcontext():
                started = time.perf_counter()
                run = self._make_one(item)
                reports = [report for report, _ in run.execute()]
                seconds = time.perf_counter() - started
            is_last = index == repeats - 1 or run.result.outcome != "passed"
            nextitem = None if is_last else item_run.stand_in(item)
            reports.append(item_run.run_phase(item, "teardown", nextitem=nextitem)[0])
            if is_last:
                break
        return run, reports, seconds

    def _make_one(self, item: pytest.Function) -> OneRun:
        return OneRun(
            item,
            self.current,
            self.planned,
            self.job.axes,
            keeps_locals=self.job.keeps_locals,
            after_body=lambda run: self._imported.note_end() if self._imported else None,
            scratch=self.directory,
            watch=Watch.from_json(self.job.watch) if self.job.watch is not None else None,
            before_body=self._probe_recorder.before_body if self._probe_recorder is not None else None,
        )

    def _take_reports(self, answer: ChildAnswer, reports: list[pytest.TestReport]) -> None:
        for report in reports:
            if is_pass(report):
                continue
            if not answer.longrepr:
                answer.longrepr = report.longreprtext[:KEPT_SECTION_CHARACTERS]
                answer.phase = str(report.when)
                answer.wasxfail = hasattr(report, "wasxfail")
            if report.when == "teardown":
                answer.outcome, answer.reason = "error", answer.reason or reason_of(report)
        answer.sections = [[name, text[-KEPT_SECTION_CHARACTERS:]] for name, text in reports[-1].sections]

    def _write_artifacts(self, answer: ChildAnswer, artifacts: Artifacts) -> None:
        try:
            write_artifacts(artifacts, self.directory / "artifacts")
            answer.has_artifacts = True
        except (OSError, ReproError) as error:
            answer.outcome, answer.reason = "error", f"what the run gave could not be handed over: {error}"
            answer.longrepr = answer.reason
