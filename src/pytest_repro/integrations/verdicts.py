"""The verdicts of a report as a few values, for a tracker of experiments."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_repro.errors import UsageError
from pytest_repro.model.redaction import redact_texts
from pytest_repro.model.reported import ReportedSession, ReportedTest, decode_session, encode_session, without_secrets
from pytest_repro.model.text import escape, escape_texts
from pytest_repro.records.files import record_path
from pytest_repro.reporting.json_report import read_report

if TYPE_CHECKING:
    from pytest_repro.session.standalone import Examination

__all__ = ["FILE_NAME", "MAX_TESTS", "Value", "VerdictLogger", "log_verdict"]

Value = str | int | bool
#: Tests with values of their own, those that did not pass first. The report that is logged has all of them.
MAX_TESTS = 100
FILE_NAME = "repro.json"
#: Longest value of a text [characters].
MAX_TEXT = 500
#: From the worst to the best.
_VERDICTS = ("error", "diverged", "inconclusive", "within_tolerance", "identical")


class VerdictLogger(Protocol):
    """What a tracker of experiments has to do with a report. Implement these two methods for another tracker."""

    def log_values(self, values: Mapping[str, Value]) -> None:
        """Log the values under a prefix of their own, in place of all that an earlier report left there."""

    def log_file(self, path: Path) -> None:
        """Log a file. It is deleted afterwards."""


def log_verdict(report: str | os.PathLike[str] | Examination, logger: VerdictLogger) -> dict[str, Value]:
    """Log the verdicts of a report, and the report itself, without secrets.

    Parameters
    ----------
    report : path, or Examination
        A file that ``--repro-json`` wrote, or the result of ``examine``.
    logger : VerdictLogger

    Returns
    -------
    dict of str -> str, int or bool
        ``passed`` (True only if the session ended with success, and every one of its tests passed), ``verdict`` (the
        worst), ``tests``, ``count/<verdict>``, and for each test ``test/<name>/verdict``, ``nodeid``, ``seed``,
        ``digest`` and ``cause``, as far as they exist.

    Raises
    ------
    UsageError
        If `report` is neither.
    StoreError
        If the file is not a report of ``--repro-json``.
    OSError
        If it cannot be read.
    """
    session = _read(report)
    values = summarize(session)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        path.write_text(json.dumps(encode_session(session), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        logger.log_file(path)
        # Last, so that no verdict is shown of a report that could not be logged.
        logger.log_values(values)
    return values


def summarize(session: ReportedSession) -> dict[str, Value]:
    """Return the values of a session."""
    counts = Counter(test.verdict.value for test in session.tests)
    has_passed = bool(session.tests) and all(test.verdict for test in session.tests)
    values: dict[str, Value] = {
        "passed": has_passed and session.is_good and all(each.has_passed for each in session.assertions),
        "verdict": next((verdict for verdict in _VERDICTS if counts[verdict]), "no tests"),
        "tests": len(session.tests),
        **{f"count/{verdict}": counts[verdict] for verdict in _VERDICTS if counts[verdict]},
    }
    if not session.is_finished:
        values["unfinished"] = True
    ordered = sorted(session.tests, key=lambda test: bool(test.verdict))
    for test in ordered[:MAX_TESTS]:
        # Named like the records' files: a node id has characters that a key must not have. A dot would nest it in W&B.
        name = record_path(Path(), test.nodeid).stem.replace(".", "_")
        values.update({f"test/{name}/{key}": value for key, value in _describe(test).items()})
    if len(ordered) > MAX_TESTS:
        values["tests_left_out"] = len(ordered) - MAX_TESTS
    return {key: escape(value)[:MAX_TEXT] if isinstance(value, str) else value for key, value in values.items()}


def _describe(test: ReportedTest) -> dict[str, Value]:
    described: dict[str, Value] = {"verdict": test.verdict.value, "nodeid": test.nodeid, "seed": test.seed}
    if test.runs and test.runs[0].digest:
        described["digest"] = test.runs[0].digest
    if test.diagnosis is not None and test.diagnosis.causes:
        described["cause"] = test.diagnosis.causes[0].code
    return described


def _read(report: object) -> ReportedSession:
    if isinstance(report, (str, os.PathLike)):
        return without_secrets(read_report(Path(os.fspath(report))))
    if hasattr(report, "to_json") and hasattr(report, "verdict"):
        document = {"schema_version": 1, "tests": [escape_texts(redact_texts(report.to_json()))]}
        return decode_session(document)
    raise UsageError(
        "log_verdict takes the path of a file that --repro-json wrote, or the result of examine(), "
        f"got {type(report).__name__}"
    )
