"""A bundle of evidence that was read: whole, of a known version, and saying one thing in all its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model import Verdict
from pytest_repro.records.attestation import STATEMENT, check_files, find_signatures, judge_session, read_bundle_file
from pytest_repro.records.canonical import parse_strictly
from pytest_repro.records.evidence import sort_verdicts

_MAJOR = "1"
_FORMATS = {"evidence.json": "pytest-repro evidence", "record.json": "pytest-repro session record"}
_VERDICTS = {verdict.value for verdict in Verdict}
PASSES = ("identical", "within_tolerance")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says.

    Attributes
    ----------
    result : str
        ``PASSED``, ``WARNED`` or ``FAILED``.
    verdicts : dict of str -> str
        Node id -> verdict.
    digests : dict of str -> str
        Node id -> digest of what run 1 gave; absent where it gave nothing.
    audit : str or None
        Status of the audit of the installed packages; None where none was asked for.
    commit : str or None
    subjects : list of str
        Names of the files that the statement names.
    files : list of str
        Of all its files: those, the statement, the signatures.
    """

    result: str
    verdicts: dict[str, str]
    digests: dict[str, str]
    audit: str | None
    commit: str | None
    subjects: list[str]
    files: list[str]


def read_bundle(directory: Path) -> Bundle:
    """Read a bundle that is not trusted; its signature is not checked here.

    Raises
    ------
    RecordError
        If a file was changed, is of another major version or form, or says otherwise than another one.
    """
    statement = check_files(directory)
    names = [subject["name"] for subject in statement["subject"]]
    if missing := sorted(set(_FORMATS) - set(names)):
        raise RecordError(f"{STATEMENT} does not name {' and '.join(missing)}")
    evidence, record = (_read_document(directory, name) for name in _FORMATS)
    try:
        tests = evidence["tests"]
        verdicts = {str(test["nodeid"]): test["verdict"] for test in tests}
        sorted_verdicts = sort_verdicts(tests)
        digests = {entry["test"]: (entry["digests"] or [None])[0] for entry in record["tests"]}
        audit, commit = evidence["audit"]["status"] if evidence.get("audit") else None, record["code"].get("commit")
        is_sound = set(verdicts.values()) <= _VERDICTS and set(digests) == set(verdicts)
        is_sound &= evidence["verdicts"] == verdicts
        is_sound &= all(d is None or _DIGEST.fullmatch(d) for d in digests.values())
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise RecordError(f"its documents are not of the form that was published: {type(error).__name__}") from None
    if not is_sound:
        raise RecordError("evidence.json and record.json are not of one session, or not of the form that was published")
    predicate = statement["predicate"]
    stated = {name: predicate.get(f"{name}Tests") for name in sorted_verdicts}
    if stated != sorted_verdicts or predicate["result"] != judge_session(sorted_verdicts):
        raise RecordError(f"{STATEMENT} says otherwise than evidence.json about the tests")
    for test in tests:  # of one that was run twice the worse counts
        if verdicts[test["nodeid"]] in PASSES:
            verdicts[test["nodeid"]] = test["verdict"]
    return Bundle(
        predicate["result"],
        verdicts,
        {test: digest for test, digest in digests.items() if digest is not None},
        None if audit is None else str(audit),
        None if commit is None else str(commit),
        names,
        [*dict.fromkeys(names), STATEMENT, *find_signatures(directory)],
    )


def _read_document(directory: Path, name: str) -> dict[str, Any]:
    try:
        document = parse_strictly(read_bundle_file(directory, name))
    except RecordError:
        raise
    except StoreError as error:
        raise RecordError(f"{name}: {error}") from None
    if not isinstance(document, dict) or document.get("format") != _FORMATS[name]:
        raise RecordError(f"{name} is no {_FORMATS[name]}")
    version = str(document.get("version"))
    if version.partition(".")[0] != _MAJOR:
        raise RecordError(f"{name} has format version {version[:40]}, this release reads {_MAJOR}.x")
    return document
