"""The plugin object of a session in which at least one test is to be reproduced: drives tests, keeps results.

Registered only when needed: a session without such tests pays for nothing here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.engines.outer_timer import restart_timer, stop_timer
from pytest_repro.errors import ReproError, ReproWarning, UsageError
from pytest_repro.reporting.live import LiveLine
from pytest_repro.session.settings import SessionSettings, TestSettings, read_marker

if TYPE_CHECKING:
    from pytest_repro.capturing import Spill
    from pytest_repro.model.reported import ReportedTest
    from pytest_repro.seeding import Generator as RegisteredGenerator
    from pytest_repro.session.recording import RecordKeeper, RecordStep

#: The recorder of a session, for the fixtures.
RECORDER_KEY = pytest.StashKey["Recorder"]()


class Recorder:
    """Drives the session's reproducible tests and reports on them.

    Parameters
    ----------
    config : pytest.Config
    settings : SessionSettings
    """

    def __init__(self, config: pytest.Config, settings: SessionSettings) -> None:
        self.config = config
        self.settings = settings
        self.live = LiveLine(config)
        self.tests: list[ReportedTest] = []
        self._records: RecordKeeper | None = None
        self.protocol: Any = None
        self._generators: list[RegisteredGenerator] | None = None
        self._unwritten: list[str] = []
        self._told: list[str] = []
        self._deselected: list[pytest.Item] = []
        self.started = time.time()

    def takes(self, item: pytest.Item) -> bool:
        """Tell whether a test's protocol is ours to drive."""
        if not isinstance(item, pytest.Function):
            return False
        return self.settings.takes_unmarked or _is_marked(item)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._deselected.extend(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse an axis that no test could vary, once all are known; where the ini file names it, warn."""
        if self.settings.across is None:
            return
        from pytest_repro.session.option_axes import find_untaken

        takers = [item for item in session.items if self.settings.take_all or _is_marked(item)]
        try:
            told = find_untaken(takers, self._deselected, self.settings)
            if told and self.settings.across_on_command_line:
                raise UsageError(told)
            if told:
                self._warn_of_untaken(told)
        except (ReproError, ReproWarning) as error:  # the latter under -W error
            if not hasattr(self.config, "workerinput"):
                raise pytest.UsageError(str(error)) from None
            # A worker of xdist that ends here takes the reason with it: a report reaches the user.
            report = pytest.CollectReport("", "failed", str(error), [])
            self.config.hook.pytest_collectreport(report=report)

    def _warn_of_untaken(self, told: str) -> None:
        """Warn where the whole suite was collected: of a part of it, the ini file may name what it lacks."""
        worker = getattr(self.config, "workerinput", {}).get("workerid", "gw0")
        if not self.config.getoption("file_or_dir") and worker == "gw0":
            self.config.issue_config_time_warning(ReproWarning(told), stacklevel=2)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not self.takes(item) or self.config.getoption("setuponly", False):
            return None
        assert isinstance(item, pytest.Function)
        stop_timer(item)
        from pytest_repro.session.dispatch import run_protocol

        self._register_generators()
        restart_timer(item)
        try:
            run_protocol(item, nextitem, self)
        finally:
            self.protocol = None
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        if self.protocol is None or fixturedef.scope == "function":
            return (yield)
        with self.protocol.wider_fixture(f"{fixturedef.baseid}::{fixturedef.argname}"):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = getattr(report, "repro", None)
        if result is not None and not hasattr(self.config, "workerinput"):
            from pytest_repro.model.codec import decode
            from pytest_repro.model.reported import ReportedTest

            self.tests.append(decode(ReportedTest, result))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.live.close()
        if self._generators:
            from pytest_repro import seeding

            for generator in self._generators:
                seeding.unregister_generator(generator)
        if hasattr(self.config, "workerinput"):
            return
        self._write_reports(session)
        try:
            self._write_step_summary()
        except OSError as error:
            self._unwritten.append(f"the job summary could not be written: {error}")
        if self._unwritten and not self.config.pluginmanager.hasplugin("terminalreporter"):
            sys.stderr.write("\n".join(self._unwritten) + "\n")

    def _write_reports(self, session: pytest.Session) -> None:
        """Write what ``--repro-json``, ``--repro-html`` and ``--repro-evidence`` ask for."""
        from pytest_repro.session.settings import html_path

        base = self.config.invocation_params.dir
        document, page, evidence = (
            self.config.getoption("repro_json"),
            html_path(self.config),
            self.config.getoption("repro_evidence"),
        )
        written = [base / path for path in (document, page, evidence) if path is not None]
        if not written:
            return
        if self.settings.records is not None and self.settings.records.mode == "record":
            written.append(self.settings.records.directory)
        from pytest_repro.session.evidence import SessionReports

        reports = SessionReports(self.config, self.tests, self.started, written)
        for option, path, write in (
            ("--repro-json", document, reports.write_json),
            ("--repro-html", page, reports.write_html),
        ):
            if path is None:
                continue
            try:
                write(base / path)
            except (OSError, ReproError) as error:
                # What comes after pytest in a script reads the file, perhaps an older one.
                self._unwritten.append(f"{option}={path} could not be written: {error}")
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if evidence is not None:
            try:
                self._told += reports.write_evidence(base / evidence)
            except ReproError as error:
                self._unwritten.append(f"--repro-evidence={evidence}: {error}")
                session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _write_step_summary(self) -> None:
        """Append the matrix to the summary page of a GitHub Actions job, where one is open."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path or not any(test.matrix for test in self.tests):
            return
        from pytest_repro.reporting.markdown import matrix_markdown

        with Path(path).open("a", encoding="utf-8") as page:
            page.write(matrix_markdown(self.tests))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not (self.tests or self._unwritten or self._told):
            return
        from pytest_repro.reporting.matrix import matrix_lines
        from pytest_repro.reporting.summary import summary_lines

        terminalreporter.section("reproducibility")
        width = min(terminalreporter._tw.fullwidth, 160)
        for line in matrix_lines(self.tests, width=width) + summary_lines(
            self.tests, base_seed=self.settings.base_seed
        ):
            terminalreporter.write_line(line)
        if self.settings.records is not None:
            from pytest_repro.reporting.record_text import record_lines

            for line in record_lines(self.tests):
                terminalreporter.write_line(line)
        for line in self._told:
            terminalreporter.write_line(line)
        for line in self._unwritten:
            terminalreporter.write_line(line, red=True)
        if not self._unwritten:
            for option in ("repro_json", "repro_html"):
                if self.config.getoption(option) is not None:
                    terminalreporter.write_line(f"written to {self.config.getoption(option)}")

    def _register_generators(self) -> None:
        """Ask other plugins for their generators, once, before the first run."""
        if self._generators is None:
            from pytest_repro import seeding

            given = self.config.hook.pytest_repro_register_rng(config=self.config)
            try:
                self._generators = seeding.register_from_hook(given)
            except ReproError as error:
                raise pytest.UsageError(str(error)) from None

    def make_record_step(self, item: pytest.Function, settings: TestSettings) -> RecordStep | None:
        """Make what records a test or verifies it; None where neither was asked for."""
        if self.settings.records is None:
            return None
        from pytest_repro.session.examples import is_given_test
        from pytest_repro.session.recording import RecordKeeper

        self._records = self._records or RecordKeeper(self.settings.records, self.config.rootpath, self._announce)
        return self._records.for_test(str(item.nodeid), settings, is_given=is_given_test(item))

    def _announce(self, lines: list[str]) -> None:
        """Show lines now, in the middle of a test; a worker of xdist has nowhere to."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        capturing: Any = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or hasattr(self.config, "workerinput"):
            return
        self.live.clear()
        with contextlib.nullcontext() if capturing is None else capturing.global_and_fixture_disabled():
            reporter.ensure_newline()
            for line in lines:
                reporter.write_line(line)
            sys.stdout.flush()

    def make_spill(self) -> Spill:
        """Make a place on disk for what one run captures beyond `--repro-memory`."""
        from pytest_repro.capturing import Spill

        return Spill(tempfile.gettempdir(), self.settings.memory_limit_bytes)


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker("reproducible") is not None


def check_collected(items: list[Any]) -> list[str]:
    """Return what is wrong with the markers of collected tests, each named; empty if nothing is."""
    import inspect

    from pytest_repro.errors import UsageError

    problems = []
    for item in items:
        try:
            across = read_marker(item).get("across")
            if across is not None:
                from pytest_repro.session.planning import read_requests

                read_requests(across, item._fixtureinfo.argnames, item.nodeid)
            if inspect.isgeneratorfunction(item.obj) or inspect.isasyncgenfunction(item.obj):
                raise UsageError("a generator cannot be a test: return the results, or give them to repro.capture")
        except UsageError as error:
            # What is wrong with an argument names the test already.
            name, text = f"{item.nodeid}: ", str(error)
            problems.append(text if text.startswith(name) else name + text)
    return problems
