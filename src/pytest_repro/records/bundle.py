"""A bundle of evidence as a reader finds it: complete, of a known version, consistent in all its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.model import Verdict
from pytest_repro.model.release import own_version
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.records.attestation import (
    STATEMENT,
    check_files,
    find_signatures,
    find_unnamed,
    judge_session,
    make_configuration,
)
from pytest_repro.records.bundle_files import RECORDS_FOLDER, BundleFiles
from pytest_repro.records.canonical import parse_object
from pytest_repro.records.documents import (
    EVIDENCE,
    RECORD,
    VERSION,
    Context,
    describe_original,
    list_dependencies,
    read_session,
    record_file,
)
from pytest_repro.records.evidence import PAGE, SUMMARY, Render, render_texts, sort_verdicts
from pytest_repro.records.record import parse_record

#: Statuses of a record whose results are those of the test, bit for bit.
_EQUAL = ("recorded", "unchanged", "updated")


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content of a bundle.

    Attributes
    ----------
    result : str
        ``PASSED``, ``WARNED`` or ``FAILED``.
    verdicts, digests : dict of str -> Verdict or str
        By node id; the digests are those of run 1's results, if it had any.
    audit : str or None
        Status of the audit of the installed packages; None where none was requested.
    subjects : list of str
        Names of the files that the statement names.
    files : list of str
        Names of all its files: those, the statement, the signatures.
    unnamed : list of str
        Names of what else is in its directory.
    notes : list of str
        What could not be checked.
    """

    result: str
    verdicts: dict[str, Verdict]
    digests: dict[str, str]
    audit: str | None
    commit: str | None
    subjects: list[str]
    files: list[str]
    unnamed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_bundle_folder(folder: Path) -> bool:
    """Return whether a folder claims to hold a bundle. One without its statement was changed, which its reader says."""
    return any((folder / name).exists() for name in (STATEMENT, EVIDENCE))


def read_bundle(bundle: Path | BundleFiles, texts: Mapping[str, Render] | None = None) -> Bundle:
    """Read a bundle that is not trusted, without a check of its signature.

    Parameters
    ----------
    bundle : Path or BundleFiles
    texts : mapping, optional
        Renders ``summary.md`` and ``report.html`` again, to be compared with those of the bundle.

    Raises
    ------
    RecordError
        If a file was changed, is of another major version or form, or contradicts another one.
    """
    files = BundleFiles.of(bundle)
    statement = check_files(files)
    names = [subject["name"] for subject in statement["subject"]]
    required = {RECORD, EVIDENCE, SUMMARY, *(texts or ())}
    if missing := sorted(required - set(names)):
        raise RecordError(f"{STATEMENT} does not name {' and '.join(missing)}")
    session, context = read_session(files.read(RECORD), files.read(EVIDENCE))
    _check_statement(statement, files.read(RECORD), session, context)
    for test in session.tests:
        _check_record(files, names, test)
    notes = _check_texts(files, texts or {}, context)
    digests = {test.nodeid: test.runs[0].digest for test in session.tests if test.runs}
    commit = (session.code or {}).get("commit")
    files_here = [*dict.fromkeys(names), STATEMENT, *find_signatures(files.directory)]
    return Bundle(
        statement["predicate"]["result"],
        _worst_verdicts(session),
        {test: digest for test, digest in digests.items() if digest is not None},
        None if context.audit is None else context.audit.status,
        None if commit is None else str(commit),
        names,
        files_here,
        find_unnamed(files.directory, files_here),
        notes,
    )


def _check_statement(statement: Mapping[str, Any], record: bytes, session: ReportedSession, context: Context) -> None:
    predicate, verdicts = statement["predicate"], sort_verdicts(session)
    stated = {name: predicate.get(f"{name}Tests") for name in verdicts}
    if stated != verdicts or predicate["result"] != judge_session(verdicts, is_good=session.is_good):
        raise RecordError(f"{STATEMENT} contradicts {EVIDENCE} about the tests")
    document = parse_object(record, RECORD)
    dependencies = list_dependencies(document) if _has_dependencies(document) else []
    dependencies += describe_original(context)
    if predicate.get("configuration") != make_configuration(record, dependencies):
        raise RecordError(
            f"{STATEMENT} contradicts {RECORD} about code, data or packages, or {EVIDENCE} about what was reproduced"
        )


def _has_dependencies(document: Mapping[str, Any]) -> bool:
    return str(document.get("version")) != "1.0"


def _worst_verdicts(session: ReportedSession) -> dict[str, Verdict]:
    """Return the verdict of each test, of one that ran twice the worse."""
    verdicts: dict[str, Verdict] = {}
    for test in session.tests:
        if verdicts.setdefault(test.nodeid, test.verdict):
            verdicts[test.nodeid] = test.verdict
    return verdicts


def _check_record(files: BundleFiles, names: list[str], test: ReportedTest) -> None:
    """Check a test's record in the bundle against what the bundle says of the test."""
    name, told = record_file(test), test.record
    if name is None or told is None or name not in names:
        return
    data = files.read(name)
    where = f"{name} and {EVIDENCE} disagree about"
    if hashlib.sha256(data).hexdigest() != told.sha256:
        raise RecordError(f"{where} its digest")
    record = parse_record(data)
    first = test.runs[0].digest if test.runs else None
    if record.nodeid != test.nodeid:
        raise RecordError(f"{where} the test")
    is_equal = told.status in _EQUAL or told.verdict == Verdict.IDENTICAL.value
    if is_equal and record.seed != test.seed:
        raise RecordError(f"{where} the seed")
    if told.status in _EQUAL and record.digest != first:
        raise RecordError(f"{where} the results")


def _check_texts(files: BundleFiles, texts: Mapping[str, Render], context: Context) -> list[str]:
    """Check that summary and page say what the documents say, if this release wrote them."""
    if not texts:
        return []
    evidence = parse_object(files.read(EVIDENCE), EVIDENCE)
    if evidence.get("version") != VERSION or context.circumstances.get("tool") != own_release():
        return [f"{SUMMARY} and {PAGE} were written by another release, and were not compared with {EVIDENCE}"]
    documents = {name: files.read(name) for name in (RECORD, EVIDENCE)}
    for name, rendered in render_texts(documents, texts).items():
        if files.read(name) != rendered:
            raise RecordError(f"{name} does not say what {EVIDENCE} and {RECORD} say")
    return []


def own_release() -> str:
    """Return the name and version of this package, as circumstances have it."""
    return f"pytest-repro {own_version()}"


def copied_records(directory: Path) -> list[Path]:
    """Return the records that a bundle holds."""
    folder = directory / RECORDS_FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
