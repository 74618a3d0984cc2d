"""The two documents of a bundle, and back: ``record.json``, which the same machine would write again, and
``evidence.json`` with all that is known about one session.

A bundle's texts (the summary, the page) are rendered from the documents, as a reader finds them. So a reader can render
them again, and see whether they say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model import JSON, Verdict
from pytest_repro.model.accepted import NotChecked
from pytest_repro.model.codec import decode, encode, read_float
from pytest_repro.model.reading import check_count
from pytest_repro.model.reported import (
    Circumstance,
    ReportedAssertion,
    ReportedSession,
    ReportedTest,
    SessionOutcome,
)
from pytest_repro.records.audit import Audit
from pytest_repro.records.bundle_files import RECORDS_FOLDER
from pytest_repro.records.canonical import as_document, parse_object

VERSION = "1.1"
RECORD, EVIDENCE = "record.json", "evidence.json"
_MAJOR = "1"
#: Name of a document -> what it says that it is.
FORMATS = {EVIDENCE: "pytest-repro evidence", RECORD: "pytest-repro session record"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
#: A commit of git, of either kind of digest.
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

_REPORT = "The report shows what the tool wrote, not that the runs took place; a bundle of evidence can be signed."
RESULTS = (
    "A digest of results covers what the tests returned or captured, and nothing else that the code did; what was "
    "returned or captured and not compared is listed.",
    "Matching runs limit how often a fault could still occur; they do not exclude it.",
)


@dataclass(frozen=True, slots=True)
class Original:
    """The evidence whose results a session was to reproduce.

    Attributes
    ----------
    name : str
        The file that was digested: a bundle's statement, or a record.
    sha256 : str
        Its digest, hexadecimal.
    """

    name: str
    sha256: str


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
    left_out : tuple of str
        What was to be in the bundle and is not, with the reason.
    reproduces : Original or None
        What the session was to reproduce; None for a session of its own.
    """

    circumstances: Mapping[str, Any] = field(default_factory=dict)
    bundle: str = ""
    audit: Audit | None = None
    limitations: tuple[str, ...] = (_REPORT, *RESULTS)
    left_out: tuple[str, ...] = ()
    reproduces: Original | None = None


def make_record(session: ReportedSession) -> JSON:
    """Return ``record.json``: environment, code, and of each test its inputs and the digests of its results."""
    return {
        "format": FORMATS[RECORD],
        "version": VERSION,
        "environment": as_document(session.environment),
        "code": as_document(session.code),
        "tests": [as_document(_record_test(test)) for test in session.tests],
    }


def _record_test(test: ReportedTest) -> dict[str, Any]:
    return {
        "test": test.nodeid,
        "seed": test.seed,
        "digests": [run.digest for run in test.runs],
        "conditions": [run.condition for run in test.runs],
        "settings": test.runs[0].settings if test.runs else {},
        "data": test.data,
        "config": test.config,
        "record": record_file(test),
        "record_sha256": test.record.sha256 if test.record is not None else None,
    }


def record_file(test: ReportedTest) -> str | None:
    """Return the name in the bundle of a test's record, or None if it has none."""
    if test.record is None or not test.record.sha256:
        return None
    return f"{RECORDS_FOLDER}/{test.record.path.replace(chr(92), '/').rpartition('/')[2]}"


def make_evidence(session: ReportedSession, context: Context) -> JSON:
    """Return ``evidence.json``."""
    # Only where there is one: other documents stay as they were.
    original = {} if context.reproduces is None else {"reproduces": as_document(encode(context.reproduces))}
    excluded = {"not_checked": as_document(encode(session.not_checked))} if session.not_checked else {}
    return {
        **original,
        **excluded,
        "format": FORMATS[EVIDENCE],
        "version": VERSION,
        "circumstances": as_document(context.circumstances),
        "bundle": context.bundle,
        "is_finished": session.is_finished,
        "pytest": None if session.pytest is None else as_document(encode(session.pytest)),
        "verdicts": {test.nodeid: test.verdict.value for test in session.tests},
        "tests": as_document(encode(session.tests)),
        "assertions": as_document(encode(session.assertions)),
        "audit": None if context.audit is None else as_document(context.audit.to_json()),
        "left_out": [*context.left_out],
        "limitations": [*context.limitations],
    }


@dataclass(frozen=True, slots=True)
class _Evidence:
    tests: tuple[ReportedTest, ...]
    verdicts: dict[str, Verdict]
    circumstances: dict[str, JSON]
    limitations: tuple[str, ...]
    audit: dict[str, JSON] | None = None
    is_finished: bool = True
    pytest: SessionOutcome | None = None
    assertions: tuple[ReportedAssertion, ...] = ()
    bundle: str = ""
    left_out: tuple[str, ...] = ()
    reproduces: Original | None = None
    not_checked: tuple[NotChecked, ...] = ()


@dataclass(frozen=True, slots=True)
class _RecordedTest:
    test: str
    seed: int
    digests: tuple[str | None, ...]
    record: str | None = None
    record_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class _SessionRecord:
    tests: tuple[_RecordedTest, ...]
    code: dict[str, JSON]
    environment: dict[str, JSON] | None = None


def read_session(record_bytes: bytes, evidence_bytes: bytes) -> tuple[ReportedSession, Context]:
    """Return the session that the two documents describe, which are not trusted.

    Raises
    ------
    RecordError
        If one is of another major version or form, or they contradict each other.
    """
    record_document, record = _read_document(record_bytes, RECORD, _SessionRecord)
    _, evidence = _read_document(evidence_bytes, EVIDENCE, _Evidence)
    tests = tuple(map(_restore_test, evidence.tests))
    if any(digest is not None and not _DIGEST.fullmatch(digest) for test in record.tests for digest in test.digests):
        raise RecordError(f"{RECORD} has a digest that is not sha256:<64 hexadecimal digits>")
    if evidence.reproduces is not None and not _DIGEST.fullmatch(f"sha256:{evidence.reproduces.sha256}"):
        raise RecordError(f"{EVIDENCE} reproduces something whose digest is not 64 hexadecimal digits")
    names = [test.nodeid for test in tests]
    verdicts = {test.nodeid: test.verdict for test in tests}
    if [test.test for test in record.tests] != names or evidence.verdicts != verdicts:
        raise RecordError(f"{EVIDENCE} and {RECORD} do not belong to one session")
    for test, recorded, entry in zip(tests, _entries(record_document), evidence.tests, strict=True):
        expected: Any = as_document(encode(_record_test(entry)))
        for key, value in expected.items():
            # A document of version 1.0 lacks the later keys.
            if recorded.get(key) != value and (key in recorded or value):
                raise RecordError(f"{EVIDENCE} and {RECORD} disagree about {key} of {test.nodeid[:100]!r}")
    session = ReportedSession(
        tests,
        _restore(record_document.get("environment")),
        _restore(record.code),
        is_finished=evidence.is_finished,
        pytest=evidence.pytest,
        assertions=evidence.assertions,
        not_checked=evidence.not_checked,
    )
    context = Context(
        _restore(evidence.circumstances),
        bundle=evidence.bundle,
        audit=None if evidence.audit is None else Audit.from_json(_restore(evidence.audit)),
        limitations=evidence.limitations,
        left_out=evidence.left_out,
        reproduces=evidence.reproduces,
    )
    return session, context


def _entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*document["tests"]]


def _read_document(data: bytes, name: str, kind: type[Any]) -> tuple[dict[str, Any], Any]:
    document = parse_object(data, name)
    if document.get("format") != FORMATS[name]:
        raise RecordError(f"{name} is not a {FORMATS[name]}")
    version = str(document.get("version"))
    if version.partition(".")[0] != _MAJOR:
        raise RecordError(f"{name} has format version {version[:40]}, this release reads {_MAJOR}.x")
    try:
        check_count(document.get("tests"), "it")
        return document, decode(kind, document)
    except StoreError as error:
        raise RecordError(f"{name}: {error}") from None


def _restore(value: Any) -> Any:
    """Return facts with the numbers that a document has as text."""
    if isinstance(value, str):
        number = read_float(value)
        return value if number is None else number
    if isinstance(value, dict):
        return {key: _restore(item) for key, item in value.items()}
    return [_restore(item) for item in value] if isinstance(value, list) else value


def _restore_test(test: ReportedTest) -> ReportedTest:
    """Return a test whose facts of any form have numbers again, as a report shows them."""
    runs = tuple(replace(run, condition=_restore(run.condition), settings=_restore(run.settings)) for run in test.runs)
    record = test.record
    if record is not None:
        found: Sequence[Circumstance] = record.circumstances
        restored = tuple(replace(each, recorded=_restore(each.recorded), here=_restore(each.here)) for each in found)
        record = replace(record, circumstances=restored)
    return replace(test, runs=runs, record=record, data=_restore(test.data), config=_restore(test.config))


def describe_original(context: Context) -> list[dict[str, Any]]:
    """Return the evidence that a session reproduces as in-toto's ResourceDescriptors, of which there is at most one."""
    found = context.reproduces
    return [] if found is None else [{"name": f"reproduces/{found.name}", "digest": {"sha256": found.sha256}}]


def list_dependencies(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the results depend on, as in-toto's ResourceDescriptors, from the content of ``record.json``.

    These are what SLSA calls resolved dependencies: code, data and packages. A package has no digest here: an installed
    one cannot prove from which file it was installed.
    """
    code, environment = _mapping(record.get("code")), _mapping(record.get("environment"))
    found: list[dict[str, Any]] = []
    commit, changes = code.get("commit"), code.get("diff")
    if isinstance(commit, str) and _COMMIT.fullmatch(commit):
        found.append({"name": "code", "digest": {"gitCommit": commit}})
    if isinstance(changes, str) and _DIGEST.fullmatch(changes):
        found.append({"name": "changes of the code", "digest": {"sha256": changes.partition(":")[2]}})
    used = _mapping(code.get("used"))
    for kind in ("ignored", "outside"):
        for name, digest in _mapping(used.get(kind)).items():
            if isinstance(digest, str) and _DIGEST.fullmatch(digest):
                found.append({"name": f"code/{name}", "digest": {"sha256": digest.partition(":")[2]}})
    data: dict[tuple[str, str], None] = {}
    for test in record.get("tests") or ():
        for name, fact in _mapping(_mapping(test).get("data")).items():
            digest = _mapping(fact).get("sha256")
            if isinstance(digest, str) and _DIGEST.fullmatch(f"sha256:{digest}"):
                data[str(name), digest] = None
    found += [{"name": f"data/{name}", "digest": {"sha256": digest}} for name, digest in sorted(data)]
    for name, package in sorted(_mapping(environment.get("packages")).items()):
        version = _mapping(package).get("version")
        if isinstance(version, str):
            found.append({"name": name, "uri": f"pkg:pypi/{quote(name, safe='')}@{quote(version, safe='')}"})
    return found


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
