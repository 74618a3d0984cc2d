"""Collect a session's records into a folder that describes itself: ``--repro-collect=DIR``."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.capturing.environment import find_user
from pytest_repro.errors import ReproError
from pytest_repro.model import JSON, Verdict
from pytest_repro.model.redaction import redact
from pytest_repro.model.release import own_version
from pytest_repro.model.reported import Omission, ReportedTest, SessionOutcome
from pytest_repro.model.text import escape_surrogates as escape_reason
from pytest_repro.records.canonical import as_document, escape_surrogates
from pytest_repro.records.collection import (
    CollectedFile,
    CollectedStatus,
    CollectedTest,
    Manifest,
    Selection,
    Uncollected,
    fact_digest,
)
from pytest_repro.records.collection_writer import CollectionWriter, count_recorded_elements, describe_file
from pytest_repro.records.files import read_record, record_path
from pytest_repro.records.fingerprint import fingerprint_environment
from pytest_repro.reporting.summary import has_failed_as_expected
from pytest_repro.session.recording import RecordKeeper
from pytest_repro.session.settings import SessionSettings

#: Longest reason that is kept [characters].
MAX_REASON = 500
#: Parts of a test's policy that another environment must share: not the number of runs, nor their verdict.
_POLICY = ("tier", "tolerance", "bounds")
_WITH_RECORD = ("recorded", "unchanged", "updated")


class SessionCollector:
    """Writes the collection of a session, in the process that receives all reports.

    Parameters
    ----------
    keeper : RecordKeeper
        Describes environment and code, once, before the first test.
    """

    def __init__(self, config: pytest.Config, settings: SessionSettings, keeper: RecordKeeper) -> None:
        self._config, self._settings, self._keeper = config, settings, keeper
        self._directory = keeper.settings.directory
        self._writer: CollectionWriter | None = None
        self._uncollected: dict[str, Uncollected] = {}
        self._selection: Selection | None = None
        self._problem: Exception | None = None

    def begin(self) -> None:
        """Write an unfinished manifest, in place of an earlier session's collection.

        Raises
        ------
        RecordError, OSError
            If the folder holds something else, or cannot be written.
        """
        environment, code = (as_document(self._keeper.facts[name]) for name in ("environment", "code"))
        assert isinstance(environment, dict)
        assert isinstance(code, dict)
        manifest = Manifest(
            label=self._keeper.settings.label,
            plugin=own_version(),
            pytest=pytest.__version__,
            fingerprint=fingerprint_environment(environment),
            environment=environment,
            code=code,
            takes_all=self._settings.takes_unmarked,
            selection=self._selection,
        )
        writer = CollectionWriter(self._directory, manifest)
        writer.begin()
        self._writer = writer

    def take_selection(self, selection: Selection) -> None:
        """Note which tests pytest collected. Under pytest-xdist, a worker's first report brings it."""
        if self._selection is None:
            self._selection = selection
            if self._writer is not None:
                self._try(lambda writer: writer.describe(selection))

    def take_collection(self, report: pytest.CollectReport) -> None:
        """Note a file whose tests could not be collected, or that skipped itself."""
        if report.passed or not report.nodeid:
            return
        outcome, name = ("failed" if report.failed else "skipped"), escape_surrogates(redact(str(report.nodeid)))
        self._uncollected.setdefault(name, Uncollected(name, outcome, self._say(_reason_of(report))))  # type: ignore[arg-type]

    def add(self, nodeid: str, test: ReportedTest) -> None:
        """Add a test that has ended, with the record that it left."""
        self._try(lambda writer: writer.add(*self._describe(nodeid, test)))

    def finish(self, outcome: SessionOutcome, *, is_finished: bool) -> None:
        """Write the complete manifest.

        Raises
        ------
        RecordError, OSError
            What kept the collection from being written, now or earlier.
        """
        if self._writer is None:
            return
        if self._problem is not None:
            raise self._problem
        for name in outcome.failing_tests:
            self._add_failed(self._writer, name)
        self._writer.finish(outcome, self._uncollected.values(), is_finished=is_finished)

    def _try(self, write: Any) -> None:
        """Write, and keep the first error for the end: the session's tests go on."""
        if self._writer is None or self._problem is not None:
            return
        try:
            write(self._writer)
        except (OSError, ReproError) as error:
            self._problem = error

    def _add_failed(self, writer: CollectionWriter, name: str) -> None:
        """Note a test that pytest counts as failed, whatever its runs gave: its teardown, or its process, broke."""
        selected = set(self._selection.selected) if self._selection is not None else set()
        known = writer.tests.get(name)
        if known is None and name in selected:
            writer.add(CollectedTest(name, "failed", 0, reason="its process ended before its runs were judged"), {})
        elif known is not None and known.status == "recorded":
            writer.replace(CollectedTest(name, "failed", known.seed, known.verdict, "pytest counts it as failed"))

    def _describe(self, nodeid: str, test: ReportedTest) -> tuple[CollectedTest, dict[str, JSON]]:
        status, reason = _find_status(test)
        if test.is_accepted and test.acceptance is not None:
            reason += f" ({test.acceptance.status} there)"
        name = escape_surrogates(nodeid)
        omitted = tuple(Omission(*map(self._say, (v.name, v.type, v.reason))) for v in test.not_compared)
        plain = CollectedTest(
            name,
            status,
            test.seed,
            test.verdict.value,
            self._say(reason),
            not_compared=omitted,
            not_compared_left_out=test.not_compared_left_out,
        )
        if status != "recorded":
            return plain, {}
        stored = read_record(record_path(self._directory, nodeid), nodeid=nodeid)
        record = stored.record
        elements = count_recorded_elements(record.entries)
        if not elements:
            text = "it was compared by its outcome only: it returned no element"
            return replace(plain, status="inconclusive", reason=text), {}
        parts = {**record.facts, "policy": {key: record.facts["policy"].get(key) for key in _POLICY}}
        facts = {fact_digest(fact): fact for fact in parts.values()}
        payload = _find_payload(record.payload, self._directory)
        collected = replace(
            plain,
            seed=record.seed,
            reason="",
            digest=record.digest,
            elements=elements,
            record=describe_file(stored.path),
            payload=payload,
            keeps_arrays=payload is not None or (record.payload or {}).get("kind") != "file",
            facts={part: fact_digest(fact) for part, fact in parts.items()},
        )
        return collected, facts

    def _say(self, text: str) -> str:
        """Return a text without secrets, and without the names of this machine, its user and its folders."""
        return escape_reason(hide_place(redact(text), self._config.rootpath))[:MAX_REASON]


def select(items: Iterable[pytest.Item], deselected: Iterable[pytest.Item], settings: SessionSettings) -> Selection:
    """Return the tests that pytest collected, by whether the plugin runs them."""
    here, others = [], 0
    for item in items:
        if settings.takes(item):
            here.append(escape_surrogates(str(item.nodeid)))
        else:
            others += 1
    left = [escape_surrogates(str(item.nodeid)) for item in deselected if settings.takes(item)]
    return Selection(tuple(here), tuple(left), others)


def hide_place(text: str, root: Path) -> str:
    """Return a text without the path of the project and of the home directory, and the names of host and user."""
    text = text.replace(str(root), ".")
    home = str(Path("~").expanduser())
    if len(home) > 1:
        text = text.replace(home, "~")
    for name, word in ((platform.node(), "<host>"), (find_user() or "", "<user>")):
        if len(name) > 2 and name not in ("root", "localhost", "user"):
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", word, text)
    return text


def _find_status(test: ReportedTest) -> tuple[CollectedStatus, str]:
    """Return how a test ended, and why it has no record."""
    record, verdict = test.record, test.verdict
    reason = test.reason or (record.reason if record is not None else "")
    if test.runs and test.runs[0].outcome == "skipped":
        return "skipped", test.runs[0].reason or reason
    if has_failed_as_expected(test):
        return "xfailed", reason
    if verdict is Verdict.DIVERGED:
        return "unstable", reason or "its own runs differ from each other"
    if verdict is Verdict.INCONCLUSIVE:
        return "inconclusive", reason
    if verdict is Verdict.ERROR:
        return "failed", reason
    if record is not None and record.status in _WITH_RECORD:
        return "recorded", ""
    if record is not None and record.status == "none":
        return "no_values", reason
    return "not_recorded", reason


def _find_payload(payload: dict[str, JSON] | None, directory: Path) -> CollectedFile | None:
    """Return the file of a record's arrays, or None if they are in the record, or were not collected."""
    if payload is None or payload.get("kind") != "file":
        return None
    name, sha256, size = payload.get("path"), payload.get("sha256"), payload.get("size")
    if not isinstance(size, int) or not (directory / str(name)).exists():
        return None
    return CollectedFile(str(name), str(sha256), size)


def _reason_of(report: pytest.CollectReport) -> str:
    """Return the last line of an error, or the reason of a skip."""
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        return str(longrepr[2])
    lines = [line for line in str(longrepr).splitlines() if line.strip()]
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return errors[-1] if errors else (lines[-1].strip() if lines else "")
