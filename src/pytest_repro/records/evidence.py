"""The bundle of ``--repro-evidence``: which tests ran, with which results, for someone who must be convinced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.model import JSON, Verdict
from pytest_repro.model.codec import encode
from pytest_repro.model.reported import ReportedSession, ReportedTest, SessionOutcome
from pytest_repro.records.attestation import STATEMENT, make_statement
from pytest_repro.records.audit import Audit
from pytest_repro.records.canonical import as_document, canonical_bytes
from pytest_repro.records.envelope import SIGNATURES
from pytest_repro.records.files import replace_all

VERSION = "1.0"
#: The unchanged report of pip-audit.
AUDIT_REPORT = "pip-audit.json"
#: Names of all files of a bundle.
BUNDLE_FILES = ("record.json", "evidence.json", "summary.md", "report.html", AUDIT_REPORT, STATEMENT, *SIGNATURES)
#: What no file can prove of itself.
_BUNDLE = (
    "The bundle shows what the tool wrote, not that the runs took place: whoever can write it can write another.",
    "A signature shows who has the key and that nothing was changed since; it does not show when: no authority stamped "
    "the time.",
    "Names of hosts, users, processors and accelerators are as the machine reported them.",
)
_RESULTS = (
    "A digest of results covers what the tests returned or captured, and nothing else that the code did; what was "
    "returned or captured and not compared is listed.",
    "Matching runs limit how often a fault could still occur; they do not exclude it.",
)
_ENVIRONMENT = "The environment is that of the process that controlled the session; a remote worker may have another."
_AUDIT = (
    "The audit covers the advisories that a service knew at the time, by names and versions of packages; an imported "
    "report shows what its author left in it."
)
_REPORT = "The report shows what the tool wrote, not that the runs took place; a bundle of evidence can be signed."
_KINDS = {Verdict.IDENTICAL: "passed", Verdict.WITHIN_TOLERANCE: "warned"}


@dataclass(frozen=True, slots=True)
class Context:
    """Facts about a session beyond its results, for a report of it.

    Attributes
    ----------
    circumstances : mapping
        Who, when, where, with which command; empty where unknown.
    bundle : str
        Directory of the bundle that the report is part of; empty for a report by itself.
    audit : Audit or None
        The audit of the installed packages; None where none was requested.
    limitations : tuple of str
        What the report cannot show; by default that of a report by itself.
    """

    circumstances: Mapping[str, Any] = field(default_factory=dict)
    bundle: str = ""
    audit: Audit | None = None
    limitations: tuple[str, ...] = (_REPORT, *_RESULTS)


def list_limitations(audit: Audit | None) -> tuple[str, ...]:
    """Return what a bundle cannot show, with its audit or without one."""
    return (*_BUNDLE, *_RESULTS, _ENVIRONMENT, *([_AUDIT] if audit is not None else []))


def make_bundle(
    session: ReportedSession, context: Context, summary: str, *, attached: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Return the bundle's files by name.

    Parameters
    ----------
    session : ReportedSession
        Its environment and code, which the same machine would report again, go into ``record.json``.
    context : Context
        Times, user, host and command, which differ each time, go into ``evidence.json``.
    summary : str
        The summary in Markdown.
    attached : mapping, optional
        More files by name, which become subjects of the statement as well.
    """
    record: JSON = {
        "format": "pytest-repro session record",
        "version": VERSION,
        "environment": as_document(session.environment),
        "code": as_document(session.code),
        "tests": [
            {
                "test": test.nodeid,
                "seed": test.seed,
                "digests": [run.digest for run in test.runs],
                "conditions": [as_document(run.condition) for run in test.runs],
                "settings": as_document(test.runs[0].settings) if test.runs else {},
            }
            for test in session.tests
        ],
    }
    evidence: JSON = {
        "format": "pytest-repro evidence",
        "version": VERSION,
        "circumstances": as_document(context.circumstances),
        "is_finished": session.is_finished,
        "pytest": None if session.pytest is None else as_document(encode(session.pytest)),
        "verdicts": {test.nodeid: test.verdict.value for test in session.tests},
        "tests": as_document(encode(session.tests)),
        "audit": None if context.audit is None else as_document(context.audit.to_json()),
        "limitations": [*context.limitations],
    }
    files = {"record.json": canonical_bytes(record), "evidence.json": canonical_bytes(evidence)}
    files |= attached or {}
    files["summary.md"] = summary.encode("utf-8", "backslashreplace")
    verdicts = sort_verdicts(session.tests, session.pytest)
    is_good = session.is_finished and not (session.pytest is not None and session.pytest.has_failed)
    statement = make_statement(files, verdicts, is_good=is_good)
    return {**files, STATEMENT: canonical_bytes(statement)}


def without_values(test: ReportedTest) -> ReportedTest:
    """Return a test's results without the values of local variables that its diagnosis shows."""
    found = test.diagnosis
    if found is None:
        return test
    first = found.first_divergence
    first = None if first is None else replace(first, expected="", actual="", reordered="")
    return replace(test, diagnosis=replace(found, first_divergence=first, rows=()))


def sort_verdicts(tests: Iterable[ReportedTest], outcome: SessionOutcome | None = None) -> dict[str, list[str]]:
    """Sort tests as a test-result predicate does: inconclusive fails, within tolerance passes with a warning.

    A test that was skipped in its first run did not run, and is omitted. So is one that failed as its xfail mark says.
    A test that failed in pytest fails, whether the plugin ran it or not.
    """
    found: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    failing = list(outcome.failing_tests) if outcome is not None else []
    expected = set(outcome.xfailed_tests) if outcome is not None else set()
    for test in tests:
        if test.nodeid in failing or (test.runs and test.runs[0].outcome == "skipped"):
            continue
        kind = _KINDS.get(test.verdict, "failed")
        if kind != "failed" or test.nodeid not in expected:
            found[kind].append(test.nodeid)
    found["failed"] += failing
    return found


def write_bundle(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle in place of an older one, of which nothing is touched before all new files are on disk.

    The statement takes its place last. The older bundle's signatures are removed.

    Raises
    ------
    RecordError
        If the disk is full or the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        replace_all(directory, files, removed=(*SIGNATURES, STATEMENT, AUDIT_REPORT))
    except OSError as error:
        raise RecordError(f"cannot write the evidence to {directory}: {error}") from error
