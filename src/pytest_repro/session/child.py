"""The plugin object of a child process: runs the one test of its job once, and leaves an answer."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_repro import seeding
from pytest_repro.capturing.store import write_artifacts
from pytest_repro.errors import ReproError
from pytest_repro.model import Artifacts, Condition, TolerancePolicy
from pytest_repro.running import item_run
from pytest_repro.running.current import CurrentRun, Repro
from pytest_repro.running.job import JOB_VARIABLE, ChildAnswer, ChildJob, identify
from pytest_repro.session.one_run import OneRun, reason_of
from pytest_repro.session.planning import PlannedExecution
from pytest_repro.session.protocol import PROTOCOL_KEY

#: Options that choose tests or write files: the child runs one test and writes its answer alone.
NEUTRAL_OPTIONS: dict[str, Any] = {
    "keyword": "",
    "markexpr": "",
    "deselect": None,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "xmlpath": None,
    "htmlpath": None,
    "repro_json": None,
    "numprocesses": None,
    "dist": "no",
    "tx": [],
    "distload": False,
    "maxprocesses": None,
    "looponfail": False,
    "count": 1,
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


def prepare_child(config: pytest.Config) -> ChildJob:
    """Turn a session that got the parent's arguments into one that runs a single test."""
    _die_with_parent()
    job = ChildJob.read(Path(os.environ[JOB_VARIABLE]))
    for name, value in {**NEUTRAL_OPTIONS, **job.options}.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    config.option.basetemp = str(Path(job.directory) / "tmp")
    config.args = [job.nodeid]
    return job


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that started it, however that one ends."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


class ChildRecorder:
    """Runs the job's test and nothing else."""

    def __init__(self, job: ChildJob) -> None:
        self.job = job
        self.repro: Repro | None = None
        condition = job.as_condition()
        self.planned = PlannedExecution(job.index, job.seed, Condition(), condition, TolerancePolicy())
        self.current = CurrentRun(job.index, job.seed, condition)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        for name in SESSION_PLUGINS:
            if config.pluginmanager.hasplugin(name):
                config.pluginmanager.unregister(name=name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if not isinstance(item, pytest.Function) or item.name != self._name():
            return True
        answer = self._refuse(item) or self._run(item, nextitem)
        answer.write(Path(self.job.directory))
        return True

    def _name(self) -> str:
        return self.job.nodeid.rpartition("::")[2]

    def _refuse(self, item: pytest.Function) -> ChildAnswer | None:
        if identify(item) == self.job.identity:
            return None
        reason = "the test collected here under this node id is another one: its source differs from the parent's"
        return ChildAnswer(self.job.nonce, "error", reason, longrepr=reason, phase="setup")

    def _run(self, item: pytest.Function, nextitem: pytest.Item | None) -> ChildAnswer:
        started = time.perf_counter()
        item.stash[PROTOCOL_KEY] = self  # type: ignore[index]
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        run = OneRun(
            item,
            self.current,
            self.planned,
            self.job.axes,
            keeps_locals=self.job.keeps_locals,
            after_body=lambda run: None,
        )
        reports = run.execute()
        seconds = time.perf_counter() - started
        reports.append(item_run.run_phase(item, "teardown", nextitem=nextitem))
        answer = ChildAnswer(self.job.nonce, run.result.outcome, run.result.reason, took_locals=run.took_locals)
        answer.seconds = seconds
        self._take_reports(answer, [report for report, _ in reports])
        answer.effects = [effect.to_json() for effect in run.effects]
        answer.settings = seeding.read_settings()
        if answer.outcome == "passed":
            self._write_artifacts(answer, self.current.artifacts)
        for report, call in reports:
            item_run.log_report(item, report, call)
        return answer

    def _take_reports(self, answer: ChildAnswer, reports: list[pytest.TestReport]) -> None:
        for report in reports:
            is_strict_pass = str(report.longrepr).startswith("[XPASS(strict)]")
            if report.passed or is_strict_pass:
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
            write_artifacts(artifacts, Path(self.job.directory) / "artifacts")
            answer.has_artifacts = True
        except (OSError, ReproError) as error:
            answer.outcome, answer.reason = "error", f"what the run gave could not be handed over: {error}"
            answer.longrepr = answer.reason
