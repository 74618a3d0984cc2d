"""The plugin object of a session with ``--repro-collect``: what pytest's hooks bring to the collection.

Loads no NumPy before the tests are collected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.errors import ReproError
from pytest_repro.model.codec import decode, encode
from pytest_repro.model.reported import ReportedTest, SessionOutcome
from pytest_repro.session.record_settings import RecordSettings
from pytest_repro.session.settings import SessionSettings

if TYPE_CHECKING:
    from pytest_repro.session.collector import SessionCollector
    from pytest_repro.session.recording import RecordKeeper


class CollectPlugin:
    """Brings a session's tests to its collection, which the process that receives all reports writes.

    Parameters
    ----------
    config : pytest.Config
    settings : SessionSettings
    find_keeper : callable
        Returns what keeps the records. Called when it is needed.
    """

    def __init__(
        self, config: pytest.Config, settings: SessionSettings, find_keeper: Callable[[], RecordKeeper]
    ) -> None:
        self._config, self._settings, self._find_keeper = config, settings, find_keeper
        self._is_worker = hasattr(config, "workerinput")
        self._deselected: list[pytest.Item] = []
        self._collector: SessionCollector | None = None
        #: What an xdist worker collected, until its first report takes it along.
        self._selection: Any = None

    @property
    def _records(self) -> RecordSettings:
        assert self._settings.records is not None
        return self._settings.records

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give every xdist worker the folder, of which the label may have been made here."""
        node.workerinput["repro_collect"] = str(self._records.directory)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._deselected.extend(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the tests that pytest collected. Of xdist's session only the workers collect."""
        from pytest_repro.session.collector import select

        selection = select(session.items, self._deselected, self._settings)
        if self._is_worker:
            self._selection = encode(selection)
        elif session.items or not self._config.pluginmanager.hasplugin("dsession"):
            self._find_collector().take_selection(selection)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Begin the collection before the first test."""
        if self._is_worker:
            return
        try:
            self._find_collector().begin()
        except (OSError, ReproError) as error:
            raise pytest.UsageError(f"--repro-collect: {error}") from None

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """Add to a worker's first report of a test what the worker collected."""
        data: dict[str, Any] | None = yield
        if data is not None and self._selection is not None and data.get("$report_type") == "TestReport":
            data["repro_selection"], self._selection = self._selection, None
        return data

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take from a worker's first report what the worker collected."""
        if not self._is_worker and (selection := getattr(report, "repro_selection", None)) is not None:
            from pytest_repro.records.collection import Selection

            self._find_collector().take_selection(decode(Selection, selection))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take a file that could not be collected, or that skipped itself."""
        if not (report.passed or self._is_worker):
            self._find_collector().take_collection(report)

    def add(self, nodeid: str, test: ReportedTest) -> None:
        """Add a test that has ended."""
        self._find_collector().add(nodeid, test)

    def finish(self, outcome: SessionOutcome, *, is_finished: bool) -> str:
        """Write the complete collection, and return what kept it from being written, or an empty text."""
        try:
            self._find_collector().finish(outcome, is_finished=is_finished)
        except (OSError, ReproError) as error:
            return f"--repro-collect={self._config.getoption('repro_collect')}: {error}"
        return ""

    def describe(self) -> str:
        """Return the line of the terminal's summary."""
        folder = os.path.relpath(self._records.directory)
        return f"collected as {self._records.label!r} in {folder}: compare with pytest-repro merge"

    def _find_collector(self) -> SessionCollector:
        if self._collector is None:
            from pytest_repro.session.collector import SessionCollector

            self._collector = SessionCollector(self._config, self._settings, self._find_keeper())
        return self._collector
