"""The plugin object of a session with reproducible tests: pytest's hooks, and the reports at the end.

Registered only when needed: a session without such tests pays for nothing here.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.pathlib import bestrelpath

from pytest_repro.engines.time_limit import restart_timer, stop_timer
from pytest_repro.errors import ReproError, ReproWarning, UsageError
from pytest_repro.model.redaction import (
    HIDDEN,
    redact_assignments,
    redact_name,
    remember_arguments,
    remember_parameters,
)
from pytest_repro.model.secret_values import list_limits, list_remembered, remember_secrets
from pytest_repro.model.text import escape_lines
from pytest_repro.reporting.live import LiveLine
from pytest_repro.session.acceptance import WORKER_KEY, Accepting
from pytest_repro.session.ini_values import place_of, raw_values, read_key
from pytest_repro.session.outside import AssertionNotes
from pytest_repro.session.packages import find_imported, find_libraries, seed_of_fixture, take_collected
from pytest_repro.session.settings import NOT_CHECKED, ROOT_KEY, SessionSettings, find_exclusion, is_marked
from pytest_repro.undisturbed import Undisturbed, remembered

if TYPE_CHECKING:
    from pytest_repro.model.reported import ReportedTest
    from pytest_repro.seeding import Generator as RegisteredGenerator
    from pytest_repro.session.collect_plugin import CollectPlugin
    from pytest_repro.session.collection import SeededCollection
    from pytest_repro.session.dispatch import Dispatcher
    from pytest_repro.session.recording import RecordKeeper
    from pytest_repro.session.report_files import ReportFiles

#: Key of the recorder in the config's stash.
RECORDER_KEY = pytest.StashKey["Recorder"]()


#: Options with which pytest shows something and runs no session of tests, so that there is nothing to report.
ONLY_SHOW = ("help", "version", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow", "collectonly")


def _remember_options(config: pytest.Config) -> None:
    """Remember the secrets in options, wherever they are given, to hide them in what the session writes."""
    # xdist starts a worker without the arguments.
    worker_input = getattr(config, "workerinput", {})
    arguments = worker_input.get("repro_arguments") or [os.fspath(each) for each in config.invocation_params.args]
    with contextlib.suppress(ValueError):  # quotes that do not match
        arguments = [*arguments, *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    remember_arguments(arguments)
    for name, value in raw_values(config).items():
        with contextlib.suppress(ValueError):
            text = getattr(value, "value", value)  # pytest 9 wraps it
            remember_arguments([f"{name}={text}"] if name != "addopts" else shlex.split(str(text)))


class Recorder:
    """Passes the session's reproducible tests to the dispatcher, collects their results, and reports on them."""

    def __init__(self, config: pytest.Config, settings: SessionSettings, accepting: Accepting) -> None:
        self.config = config
        self.settings = settings
        self._accepting = accepting
        self._live = LiveLine(config)
        self._dispatcher: Dispatcher | None = None
        self._generators: list[RegisteredGenerator] = []
        self._deselected: list[pytest.Item] = []
        self._collected: list[pytest.Item] = []
        self._collection: SeededCollection | None = None
        #: In a session that writes reports, and in one that collects.
        self._notes: AssertionNotes | None = None
        self._collect: CollectPlugin | None = None
        self._started = time.time()
        options = "repro_json", "repro_html", "repro_evidence"
        self._only_shows = any(config.getoption(name, None) for name in ONLY_SHOW)
        is_asked = any(config.getoption(name) for name in options) or bool(read_key(config, "repro_html"))
        self._writes_reports = is_asked and not self._only_shows
        self._keeper: RecordKeeper | None = None
        self._files: ReportFiles | None = None
        _remember_options(config)
        self._remembered = contextlib.ExitStack()
        self._remembered.enter_context(remembered())
        if settings.records is not None:
            from pytest_repro.tracing.user_code import is_user_file
            from pytest_repro.tracing.variables import noting_variables

            self._remembered.enter_context(noting_variables(is_user_file))
        config.add_cleanup(self._remembered.close)

    def pytest_configure(self) -> None:
        """Begin the reports, so that none of an earlier session stands for one that is killed before its first test."""
        records = self.settings.records
        if records is not None and records.mode == "collect" and not self._only_shows:
            from pytest_repro.session.collect_plugin import CollectPlugin

            self._collect = CollectPlugin(self.config, self.settings, self._find_keeper)
            self.config.pluginmanager.register(self._collect, "repro-collect")
        if self._writes_reports:
            self._notes = AssertionNotes(self.config)
            self.config.pluginmanager.register(self._notes, "repro-assertions")
        if self._writes_reports and not hasattr(self.config, "workerinput"):
            from pytest_repro.session.report_files import begin_apart

            self._begin(begin_apart)

    def _begin(self, begin: Callable[[ReportFiles], None]) -> None:
        try:
            begin(self._find_files())
        except UsageError as error:
            raise pytest.UsageError(redact_assignments(str(error))) from None

    def pytest_report_header(self) -> str | None:
        """Report the base seed, without which a session with a random seed could not be repeated."""
        return f"repro: --repro-seed={self.settings.base_seed}" if self.settings.seed_on_command_line else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give every xdist worker the same base seed and the user's arguments."""
        node.workerinput["repro_base_seed"] = self.settings.base_seed
        node.workerinput[ROOT_KEY] = bestrelpath(self.config.invocation_params.dir, self.config.rootpath)
        if self._accepting.file:
            node.workerinput[WORKER_KEY] = self._accepting.to_worker()
        # For the children of a worker, which xdist starts without the arguments.
        from pytest_repro.engines.starting import FIRST_PATH_KEY, first_path

        node.workerinput[FIRST_PATH_KEY] = first_path(self.config)
        node.workerinput["repro_arguments"] = [os.fspath(argument) for argument in self.config.invocation_params.args]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        if not self.settings.take_all:
            return (yield)
        if self._collection is None:
            from pytest_repro.session.collection import SeededCollection

            self._collection = SeededCollection(self.config, self.settings.base_seed)
        with self._collection.around(collector):
            return (yield)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        remember_parameters(item)
        if self._writes_reports:
            self._collected.append(item)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._deselected.extend(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Find the user's packages. Reject an axis of the command line that no test can vary, and warn of the ini's."""
        take_collected(session)
        from pytest_repro.tracing.named_secrets import remember_modules

        remember_modules()
        text = self.settings.across
        if text is None:
            return
        from pytest_repro.session.across import find_untaken

        is_option = self.settings.across_on_command_line
        takers = [item for item in session.items if self.settings.take_all or is_marked(item)]
        try:
            source = "--repro-across" if is_option else place_of(self.config, "repro_across")
            problem = find_untaken(text, source, takers, self._deselected)
            if problem and is_option:
                raise UsageError(problem)
            if problem:
                self._warn_of_untaken(problem)
        except (ReproError, ReproWarning) as error:  # the latter under -W error
            if not hasattr(self.config, "workerinput"):
                raise pytest.UsageError(redact_assignments(str(error))) from None
            # An xdist worker that ended here would not give the reason. A report reaches the user.
            report = pytest.CollectReport("", "failed", str(error), [])
            self.config.hook.pytest_collectreport(report=report)

    def _warn_of_untaken(self, problem: str) -> None:
        """Warn if the whole suite was collected: a part of it may lack an axis of the ini file."""
        worker = getattr(self.config, "workerinput", {}).get("workerid", "gw0")
        if not self.config.getoption("file_or_dir") and worker == "gw0":
            self.config.issue_config_time_warning(ReproWarning(problem), stacklevel=2)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not self.settings.takes(item) or self.config.getoption("setuponly", False):
            if reason := find_exclusion(item):
                item.user_properties.append((NOT_CHECKED, reason))  # travels with the test's reports
            return None
        assert isinstance(item, pytest.Function)
        stop_timer(item)  # the plugin's own start at the first test does not count as the test's time
        if self._dispatcher is None:
            self._dispatcher = self._make_dispatcher()
        restart_timer(item)
        self._dispatcher.run(item, nextitem)
        return True

    def _make_dispatcher(self) -> Dispatcher:
        from pytest_repro import seeding
        from pytest_repro.session.collection import DrawnParameters
        from pytest_repro.session.dispatch import Dispatcher

        given = self.config.hook.pytest_repro_register_rng(config=self.config)
        try:
            self._generators = seeding.register_from_hook(given)
        except ReproError as error:
            raise pytest.UsageError(redact_assignments(str(error))) from None
        drawing = self._collection.drawing if self._collection is not None else set()
        keeper = self._find_keeper() if self.settings.records is not None else None
        return Dispatcher(self.settings, self._live, self._started, keeper, DrawnParameters(drawing), self._accepting)

    def _find_keeper(self) -> RecordKeeper:
        if self._keeper is None:
            from pytest_repro.session.recording import RecordKeeper

            assert self.settings.records is not None
            self._keeper = RecordKeeper(self.settings.records, self.config.rootpath, self._announce)
        return self._keeper

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        engine = self._dispatcher.engine if self._dispatcher is not None else None
        if engine is None:
            return (yield)
        with engine.setting_up(fixturedef, partial(seed_of_fixture, self.settings.base_seed, fixturedef)):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """Escape what execnet cannot encode, in every text of a report: one would end an xdist worker."""
        from pytest_repro.model.text import make_encodable

        encodable: dict[str, Any] | None = make_encodable((yield))
        return encodable

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Escape a warning in the same way before xdist sends it."""
        if hasattr(self.config, "workerinput"):
            from pytest_repro.engines.relay import make_warning_encodable

            make_warning_encodable(warning_message)

    @property
    def _follows_tests(self) -> bool:
        """Whether this process tells which tests began and ended: in reports, or in a collection."""
        return (self._writes_reports or self._collect is not None) and not hasattr(self.config, "workerinput")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        if self._follows_tests:
            # Already now: a session that is killed later does not say how many tests were to run.
            self._find_files().outcomes.collected = (
                len({item.nodeid for item in getattr(session, "items", None) or ()}) or None
            )
        if self._writes_reports and not hasattr(self.config, "workerinput"):
            self._begin(lambda files: files.begin())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._follows_tests:
            self._find_files().outcomes.begun.setdefault(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self._follows_tests:
            self._find_files().outcomes.ended.add(nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(self.config, "workerinput"):
            return
        if self._writes_reports or self._collect is not None:
            self._find_files().outcomes.take(report)
        if report.when == "teardown" and any(name == NOT_CHECKED for name, _ in report.user_properties):
            self._find_files().take_excluded(report)
        result = getattr(report, "repro", None)
        if hasattr(report, "repro_parts") or hasattr(report, "repro_section"):
            from pytest_repro.reporting.terminal_failure import show_parts

            show_parts(report, self.config)
        if result is not None:
            with Undisturbed():
                from pytest_repro.model.codec import decode
                from pytest_repro.model.reported import ReportedTest

                files, test = self._find_files(), decode(ReportedTest, result)
                files.add(test)
                if self._collect is not None:
                    self._collect.add(str(report.nodeid), test)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.passed or hasattr(self.config, "workerinput"):
            return
        if self._writes_reports or self._collect is not None:
            self._find_files().outcomes.take_collection(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._live.close()
        if self._generators:
            from pytest_repro import seeding

            for generator in self._generators:
                seeding.unregister_generator(generator)
        if hasattr(self.config, "workerinput"):
            self._leave_for_controller(session)
            return
        if self._only_shows:
            return
        files = self._find_files()
        interrupted = pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR
        has_stopped = session.shouldstop or session.shouldfail or session.exitstatus in interrupted
        self._note_collected(session)
        has_stopped = has_stopped or files.outcomes.has_stopped
        if not files.finish(int(session.exitstatus), is_finished=not has_stopped):
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if self._collect is not None:
            outcome = files.outcomes.describe(int(session.exitstatus))
            if problem := self._collect.finish(outcome, is_finished=not has_stopped):
                files.problems.append(problem)
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
        try:
            self._write_step_summary(files.tests)
        except OSError as error:
            files.problems.append(f"the job summary could not be written: {error}")
        if files.problems and not self.config.pluginmanager.hasplugin("terminalreporter"):
            sys.stderr.write("\n".join(files.problems) + "\n")

    def _leave_for_controller(self, session: pytest.Session) -> None:
        """Leave what only an xdist worker knows: the tests that it deselected, the files that it imported."""
        output: dict[str, Any] | None = getattr(self.config, "workeroutput", None)
        if self._writes_reports and output is not None:
            from pytest_repro.model.text import make_encodable

            output["repro_deselected"] = make_encodable([redact_name(str(item.nodeid)) for item in self._deselected])
            output["repro_secrets"] = make_encodable(list_remembered())
            output["repro_files"] = make_encodable(find_imported())
            output["repro_libraries"] = make_encodable(find_libraries())
            output["repro_vanished"] = make_encodable(self._find_vanished(getattr(session, "items", None)))
            if self._notes is not None:
                output["repro_outside"] = make_encodable(self._notes.read())

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Take the order of the tests, in which the workers' results do not come."""
        if self._writes_reports:
            self._find_files().take_order(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what an xdist worker left. One that crashed leaves nothing, and the test that it ran fails."""
        left = getattr(node, "workeroutput", None) or {}
        if self._writes_reports:
            outcomes = self._find_files().outcomes
            outcomes.deselected = [*dict.fromkeys([*outcomes.deselected, *left.get("repro_deselected", ())])]
            outcomes.vanished.update(dict.fromkeys(left.get("repro_vanished", ())))
            outcomes.files.update(left.get("repro_files", ()))
            outcomes.libraries.update(left.get("repro_libraries", ()))
            outcomes.take_outside(left.get("repro_outside", ()))
            remember_secrets((str(name), value) for name, value in left.get("repro_secrets", ()))

    def _note_collected(self, session: pytest.Session) -> None:
        outcomes = self._find_files().outcomes
        outcomes.files.update(find_imported() if self._writes_reports else ())
        outcomes.libraries.update(find_libraries() if self._writes_reports else ())
        # Of xdist's session only the workers collect, and say how many tests they found.
        outcomes.deselected += [str(item.nodeid) for item in self._deselected]
        outcomes.vanished.update(dict.fromkeys(self._find_vanished(getattr(session, "items", None))))
        if self._notes is not None:
            outcomes.take_outside(self._notes.read())
        names = {item.nodeid for item in session.items} if getattr(session, "items", None) else None
        outcomes.collected = len(names) if names is not None else getattr(session, "testscollected", None)

    def _find_vanished(self, items: Sequence[pytest.Item] | None) -> list[str]:
        """Return the tests that were collected, and then removed by a plugin that did not report them as deselected."""
        if items is None:
            return []
        known = {id(item) for item in (*items, *self._deselected)}
        names = {str(item.nodeid) for item in (*items, *self._deselected)}  # a plugin may have made them anew
        gone = [str(item.nodeid) for item in self._collected if id(item) not in known]
        return [*dict.fromkeys(redact_name(name) for name in gone if name not in names)]

    def _find_files(self) -> ReportFiles:
        """Return the files of the reports. Made when they are needed: they load what a session without tests lacks."""
        if self._files is None:
            from pytest_repro.session.report_files import ReportFiles

            self._files = ReportFiles(self.config, self.settings, self._started, self._accepting)
        return self._files

    @staticmethod
    def _write_step_summary(tests: Sequence[ReportedTest]) -> None:
        """Append the matrix to the summary page of a GitHub Actions job, if there is one."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path or not any(test.matrix for test in tests):
            return
        from pytest_repro.reporting.markdown import matrix_markdown

        with Path(path).open("a", encoding="utf-8") as page:
            page.write(matrix_markdown(tests))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        files = self._find_files()
        if not (files.tests or files.problems or files.audit_lines or files.not_checked):
            return

        def write(line: str, **how: bool) -> None:
            terminalreporter.write_line(escape_lines(redact_assignments(line)), **how)

        from pytest_repro.reporting.matrix import matrix_lines
        from pytest_repro.reporting.summary import summary_lines

        terminalreporter.section("reproducibility")
        width = min(terminalreporter._tw.fullwidth, 160)
        for line in matrix_lines(files.tests, width=width) + summary_lines(
            files.tests, base_seed=self.settings.base_seed, shows_all=self.config.option.verbose > 0
        ):
            write(line)
        from pytest_repro.reporting.known_text import accepted_lines, not_checked_lines

        tally, lists_only = self._accepting.tally(files.tests), self._accepting.lists_only
        shows_all = self.config.option.verbose > 0
        for line in (
            *accepted_lines(files.tests, tally, lists_only=lists_only, shows_all=shows_all),
            *not_checked_lines(files.not_checked, shows_all=shows_all),
        ):
            write(line)
        if self.settings.records is not None:
            from pytest_repro.reporting.record_text import record_lines

            for line in record_lines(files.tests):
                write(line)
        if named := [test.nodeid for test in files.tests if HIDDEN[:-1] in test.nodeid]:
            write(
                f"the names of {len(named)} tests hold what looks like a secret, which pytest itself prints: "
                f"give their parameters ids=..., as for {named[0]}"
            )
        for line in (*list_limits(), *files.audit_lines):
            write(line)
        for line in files.problems:
            write(line, red=True)
        if not files.problems:
            if self._collect is not None:
                terminalreporter.write_line(self._collect.describe())
            for option in ("repro_json", "repro_html"):
                if self.config.getoption(option) is not None:
                    write(f"written to {self.config.getoption(option)}")

    def _announce(self, lines: list[str]) -> None:
        """Show lines now, in the middle of a test. An xdist worker has no terminal."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        capturing: Any = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or hasattr(self.config, "workerinput"):
            return
        self._live.clear()
        with contextlib.nullcontext() if capturing is None else capturing.global_and_fixture_disabled():
            reporter.ensure_newline()
            for line in lines:
                reporter.write_line(line)
            sys.stdout.flush()
