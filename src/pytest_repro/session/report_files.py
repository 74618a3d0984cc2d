"""The files of ``--repro-json``, ``--repro-html`` and ``--repro-evidence``: when they are written, and what failed.

They are written as tests end, so that a session that is killed leaves what it had, marked as unfinished. The JSON
report grows by each test. The page and the bundle are written anew, as often as :data:`SHARE` of the time allows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_repro.errors import RecordError, ReproError, UsageError
from pytest_repro.model.accepted import NotChecked
from pytest_repro.model.redaction import redact, redact_name
from pytest_repro.model.release import own_version
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.session.acceptance import Accepting
from pytest_repro.session.origin import say_time
from pytest_repro.session.outcomes import OutcomeCounter
from pytest_repro.session.settings import NOT_CHECKED, SessionSettings, html_path

if TYPE_CHECKING:
    from pytest_repro.reporting.growing_report import GrowingReport
    from pytest_repro.session.evidence import SessionReports

#: Time that writing unfinished pages and bundles may take: so many seconds, and this share of the session's time.
FREE_S, SHARE = 1.0, 0.05
#: Exit status of the fork that must not begin the reports.
_REFUSED = 3


def begin_apart(files: ReportFiles) -> None:
    """Begin the reports in a fork of this process, which must not load NumPy before the user's conftest files do.

    Where a fork could hang, because there are threads, they begin after the collection.

    Raises
    ------
    UsageError
        If they would replace files of somebody else.
    """
    if not hasattr(os, "fork") or threading.active_count() > 1:
        return
    child = os.fork()
    if child:
        with suppress(OSError):  # somebody may collect all children
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _REFUSED:
                files.check()
        return
    status = 0
    try:
        files.begin()
    except UsageError:
        status = _REFUSED
    finally:
        os._exit(status)


class ReportFiles:
    """Writes the report files of a session.

    Parameters
    ----------
    config : pytest.Config
    settings : SessionSettings
    started : float
        Start of the session [s since 1970].
    accepting : Accepting

    Attributes
    ----------
    tests : list of ReportedTest
        Results so far.
    not_checked : list of NotChecked
        Tests that their marker excludes, so far.
    outcomes : OutcomeCounter
        Of all tests of the session.
    problems : list of str
        What could not be written at the end, with its option.
    audit_lines : list of str
        Lines about the audit of the installed packages, for the terminal.
    """

    def __init__(self, config: pytest.Config, settings: SessionSettings, started: float, accepting: Accepting) -> None:
        self._accepting = accepting
        self._config, self._settings, self._started = config, settings, started
        self.tests: list[ReportedTest] = []
        self.not_checked: list[NotChecked] = []
        self.outcomes: OutcomeCounter = OutcomeCounter()
        self.problems: list[str] = []
        self.audit_lines: list[str] = []
        base = config.invocation_params.dir
        document, evidence = config.getoption("repro_json"), config.getoption("repro_evidence")
        self._document = None if document is None else base / document
        self._page = html_path(config)
        self._bundle = None if evidence is None else base / evidence
        self._growing: GrowingReport | None = None
        self._order: dict[str, int] = {}
        self._unfinished: SessionReports | None = None
        self._has_facts = False
        self._spent_s = 0.0

    def check(self) -> None:
        """Check before the first test that the bundle replaces no file of somebody else.

        Raises
        ------
        UsageError
        """
        if self._bundle is None or not self._bundle.is_dir() or not any(self._bundle.iterdir()):
            return
        from pytest_repro.records.evidence import BUNDLE_FILES
        from pytest_repro.records.ownership import check_replaceable

        try:
            check_replaceable(self._bundle, BUNDLE_FILES)
        except RecordError as error:
            raise UsageError(f"--repro-evidence={self._config.getoption('repro_evidence')}: {error}") from None

    def begin(self) -> None:
        """Write unfinished reports without tests, so that no older one stands for a session that is killed.

        A bundle of an earlier session that was finished moves aside, and is removed when this session is finished.

        Raises
        ------
        UsageError
            As :meth:`check`.
        """
        self.check()
        if self._document is not None:
            with suppress(OSError, ReproError, ValueError):
                self._begin_document(self._document)
        if self._page is not None:
            with suppress(OSError, ReproError):
                self._unfinished = self._unfinished or self._make_reports(is_finished=False)
                self._unfinished.write_html(self._page)
        if self._bundle is not None:
            with suppress(OSError, ReproError):
                self._make_reports(is_finished=False).begin_evidence(self._bundle)

    def add(self, test: ReportedTest) -> None:
        """Take a test's result, and write it to the unfinished reports. What fails now is tried again at the end."""
        self.tests.append(test)
        if self._document is not None:
            with suppress(OSError, ReproError, ValueError):
                self._grow(self._document, test)
        has_rest = self._page is not None or self._bundle is not None
        if has_rest and self._spent_s <= FREE_S + SHARE * (time.time() - self._started):
            with suppress(OSError, ReproError):
                self._spent_s += self._write_unfinished()

    def take_excluded(self, report: pytest.TestReport) -> None:
        """Take a test that its marker excludes, from the last report of it."""
        for name, value in report.user_properties:
            if name == NOT_CHECKED and redact_name(report.nodeid) not in {each.test for each in self.not_checked[-1:]}:
                self.not_checked.append(NotChecked(redact_name(report.nodeid), redact(str(value))))

    def take_order(self, names: Iterable[str]) -> None:
        """Take the order in which the tests were collected, for the final reports."""
        for place, name in enumerate(names):
            # Reports name it without secrets, pytest's own outcome as it is.
            self._order[name] = self._order[redact_name(name)] = place

    def finish(self, exit_status: int, *, is_finished: bool) -> bool:
        """Write all reports, and return whether each could be written.

        Parameters
        ----------
        exit_status : int
            Of pytest.
        is_finished : bool
            Whether the session came to its own end, and not by an interrupt or after a number of failures.
        """
        if self._document is None and self._page is None and self._bundle is None:
            return True
        self.tests.sort(key=lambda test: self._order.get(test.nodeid, len(self._order)))
        self.not_checked.sort(key=lambda each: self._order.get(each.test, len(self._order)))
        self.outcomes.sort(self._order)
        reports = self._make_reports(is_finished=is_finished)
        reports.outcome, reports.assertions = self.outcomes.describe(exit_status), self.outcomes.assertions
        self._try("--repro-json", self._document, reports.write_json)
        self._try("--repro-html", self._page, reports.write_html)
        if self._bundle is not None:
            try:
                self.audit_lines += reports.write_evidence(self._bundle)
            except ReproError as error:
                self.problems.append(f"--repro-evidence={self._config.getoption('repro_evidence')}: {error}")
        return not self.problems

    def _grow(self, path: Path, test: ReportedTest) -> None:
        self._begin_document(path).add(test)

    def _begin_document(self, path: Path) -> GrowingReport:
        from pytest_repro.reporting.growing_report import GrowingReport

        if self._growing is None:
            started = say_time(self._started)
            bare = ReportedSession((), is_finished=False, started=started, tool=own_version())
            self._growing = GrowingReport(path, bare)
        return self._growing

    def _write_unfinished(self) -> float:
        """Write the page and the bundle, and return the time that writing took [s]."""
        self._unfinished = self._unfinished or self._make_reports(is_finished=False)
        if self._bundle is not None and not self._has_facts:
            self._has_facts = True
            # Once, and not counted. The final reports, by which a user judges, collect their facts again.
            self._unfinished.collect_facts()
        reports, begun = self._unfinished, time.monotonic()
        reports.outcome, reports.assertions = self.outcomes.describe(), self.outcomes.assertions
        if self._page is not None:
            reports.write_html(self._page)
        if self._bundle is not None:
            reports.write_evidence(self._bundle)
        return time.monotonic() - begun

    def _make_reports(self, *, is_finished: bool) -> SessionReports:
        from pytest_repro.records.bundle import copied_records
        from pytest_repro.records.evidence import BUNDLE_FILES
        from pytest_repro.records.folders import previous_folder
        from pytest_repro.session.evidence import SessionReports

        written = [path for path in (self._document, self._page) if path is not None]
        for folder in (self._bundle, previous_folder(self._bundle)) if self._bundle is not None else ():
            written += [*(folder / name for name in BUNDLE_FILES), *copied_records(folder)]
        records = self._settings.records
        return SessionReports(
            self._config,
            self.tests,
            self._started,
            written,
            records=records.directory if records is not None and records.mode != "verify" else None,
            is_finished=is_finished,
            records_from=records.directory if records is not None else None,
            files=self.outcomes.files,
            libraries=self.outcomes.libraries,
            # The first time it takes seconds, and nothing is compared with a report.
            compares_packages=self._bundle is not None or records is not None,
            not_checked=self.not_checked,
            tally=self._accepting.tally,
        )

    def _try(self, option: str, path: Path | None, write: Callable[[Path], None]) -> None:
        if path is None:
            return
        try:
            write(path)
        except (OSError, ReproError) as error:
            # A script would read the file after pytest, and perhaps an older one.
            given = self._config.getoption(option.lstrip("-").replace("-", "_")) or path
            self.problems.append(f"{option}={given} could not be written: {error}")
