"""A bundle of evidence as a reader finds it: complete, of a known version, consistent in all its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model import JSON, Verdict
from pytest_repro.model.codec import decode
from pytest_repro.model.reading import check_count
from pytest_repro.model.reported import ReportedTest, SessionOutcome
from pytest_repro.records.attestation import STATEMENT, check_files, find_signatures, judge_session
from pytest_repro.records.bundle_files import BundleFiles
from pytest_repro.records.canonical import parse_object
from pytest_repro.records.evidence import sort_verdicts

_MAJOR = "1"
_FORMATS = {"evidence.json": "pytest-repro evidence", "record.json": "pytest-repro session record"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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
    """

    result: str
    verdicts: dict[str, Verdict]
    digests: dict[str, str]
    audit: str | None
    commit: str | None
    subjects: list[str]
    files: list[str]


@dataclass(frozen=True, slots=True)
class _Evidence:
    tests: tuple[ReportedTest, ...]
    verdicts: dict[str, Verdict]
    audit: dict[str, JSON] | None = None
    is_finished: bool = True
    pytest: SessionOutcome | None = None


@dataclass(frozen=True, slots=True)
class _RecordedTest:
    test: str
    digests: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _SessionRecord:
    tests: tuple[_RecordedTest, ...]
    code: dict[str, JSON]


def read_bundle(bundle: Path | BundleFiles) -> Bundle:
    """Read a bundle that is not trusted, without a check of its signature.

    Raises
    ------
    RecordError
        If a file was changed, is of another major version or form, or contradicts another one.
    """
    files = BundleFiles.of(bundle)
    statement = check_files(files)
    names = [subject["name"] for subject in statement["subject"]]
    if missing := sorted(set(_FORMATS) - set(names)):
        raise RecordError(f"{STATEMENT} does not name {' and '.join(missing)}")
    evidence = _read_document(files, "evidence.json", _Evidence)
    record = _read_document(files, "record.json", _SessionRecord)
    verdicts = {test.nodeid: test.verdict for test in evidence.tests}
    digests = {entry.test: entry.digests[0] if entry.digests else None for entry in record.tests}
    if any(digest is not None and not _DIGEST.fullmatch(digest) for digest in digests.values()):
        raise RecordError("record.json has a digest that is not sha256:<64 hexadecimal digits>")
    if set(digests) != set(verdicts) or evidence.verdicts != verdicts:
        raise RecordError("evidence.json and record.json do not belong to one session")
    sorted_verdicts = sort_verdicts(evidence.tests, evidence.pytest)
    is_good = evidence.is_finished and not (evidence.pytest is not None and evidence.pytest.has_failed)
    predicate, commit = statement["predicate"], record.code.get("commit")
    stated = {name: predicate.get(f"{name}Tests") for name in sorted_verdicts}
    if stated != sorted_verdicts or predicate["result"] != judge_session(sorted_verdicts, is_good=is_good):
        raise RecordError(f"{STATEMENT} contradicts evidence.json about the tests")
    for test in evidence.tests:  # of a test that ran twice the worse verdict counts
        if verdicts[test.nodeid]:
            verdicts[test.nodeid] = test.verdict
    return Bundle(
        predicate["result"],
        verdicts,
        {test: digest for test, digest in digests.items() if digest is not None},
        None if evidence.audit is None else str(evidence.audit.get("status")),
        None if commit is None else str(commit),
        names,
        [*names, STATEMENT, *find_signatures(files.directory)],
    )


def _read_document(files: BundleFiles, name: str, kind: type[Any]) -> Any:
    document = parse_object(files.read(name), name)
    if document.get("format") != _FORMATS[name]:
        raise RecordError(f"{name} is not a {_FORMATS[name]}")
    version = str(document.get("version"))
    if version.partition(".")[0] != _MAJOR:
        raise RecordError(f"{name} has format version {version[:40]}, this release reads {_MAJOR}.x")
    try:
        check_count(document.get("tests"), "it")
        return decode(kind, document)
    except StoreError as error:
        raise RecordError(f"{name}: {error}") from None
