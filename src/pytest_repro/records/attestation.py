"""A bundle's in-toto statement, and the check of its files and signatures against it.

Statement v1 with the test-result v0.1 predicate and no extra field: consumers reject what they do not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.errors import RecordError
from pytest_repro.model import JSON
from pytest_repro.records.bundle_files import MAX_NAME, RECORDS_FOLDER, BundleFiles
from pytest_repro.records.canonical import parse_object
from pytest_repro.records.envelope import ENVELOPE, SIGNATURES, find_signer, sign_payload

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
STATEMENT = "statement.json"
#: Files that one statement may name.
MAX_SUBJECTS = 100_000


def make_statement(
    files: Mapping[str, bytes],
    verdicts: Mapping[str, Sequence[str]],
    *,
    is_good: bool = True,
    dependencies: Sequence[Mapping[str, Any]] = (),
) -> JSON:
    """Return the statement of a session's result about the files that contain it.

    Parameters
    ----------
    files : mapping
        Name -> content; each becomes a subject.
    verdicts : mapping
        ``passed``, ``warned``, ``failed`` -> node ids.
    is_good : bool
        Whether the session came to its end, and pytest ended with success.
    dependencies : sequence of mapping
        Code, data and packages, as ResourceDescriptors.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _sha256(files[name])}} for name in sorted(files)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": judge_session(verdicts, is_good=is_good),
            "configuration": make_configuration(files["record.json"], dependencies),
            "passedTests": [*verdicts["passed"]],
            "warnedTests": [*verdicts["warned"]],
            "failedTests": [*verdicts["failed"]],
        },
    }


def make_configuration(record: bytes, dependencies: Sequence[Mapping[str, Any]]) -> list[JSON]:
    """Return the statement's configuration: ``record.json``, then what the results depend on.

    A test-result predicate has no field for what SLSA calls resolved dependencies. Its configuration is a list of the
    same type.
    """
    return [{"name": "record.json", "digest": {"sha256": _sha256(record)}}, *map(dict, dependencies)]


def judge_session(verdicts: Mapping[str, Sequence[str]], *, is_good: bool = True) -> str:
    """Return PASSED, WARNED or FAILED, the latter also for a session in which no test ran, or that is not good."""
    if not is_good or verdicts["failed"] or not any(verdicts.values()):
        return "FAILED"
    return "WARNED" if verdicts["warned"] else "PASSED"


def sign_bundle(directory: Path, key: bytes, password: bytes | None = None) -> dict[str, bytes]:
    """Check that a bundle is complete and unchanged, and sign its statement.

    Parameters
    ----------
    key : bytes
        PEM of an ECDSA P-256 or Ed25519 private key.

    Returns
    -------
    dict of str -> bytes
        The files to write next to the statement, by name.

    Raises
    ------
    RecordError
        If the bundle is incomplete or changed, or the key is of another kind or cannot be read.
    """
    files = BundleFiles(directory)
    check_files(files)
    return sign_payload(files.read(STATEMENT), key, password)


def find_signatures(directory: Path) -> list[str]:
    """Return the names of a bundle's files with a signature."""
    return [name for name in SIGNATURES if (directory / name).is_symlink() or (directory / name).exists()]


def find_unnamed(directory: Path, named: Collection[str]) -> list[str]:
    """Return the files in a bundle's directory that are none of its files."""
    known = {*named, STATEMENT, *SIGNATURES}
    found = []
    for path in directory.iterdir():
        if path.name == RECORDS_FOLDER and path.is_dir() and not path.is_symlink():
            found += [f"{RECORDS_FOLDER}/{each.name}" for each in path.iterdir()]
        else:
            found.append(f"{path.name}/" if path.is_dir() else path.name)
    return sorted(name for name in found if name not in known)


def check_files(bundle: Path | BundleFiles) -> dict[str, Any]:
    """Return a bundle's statement, after checking that every file that it names is there and unchanged.

    Raises
    ------
    RecordError
        Naming the first file that is missing or changed.
    """
    files = BundleFiles.of(bundle)
    statement = _parse_statement(files.read(STATEMENT))
    for subject in statement["subject"]:
        if files.digest(subject["name"]) != subject["digest"]["sha256"]:
            name = shorten(escape(subject["name"]), MAX_NAME)
            raise RecordError(f"{name} does not match the digest in {STATEMENT}: it was changed")
    return statement


def check_signature(bundle: Path | BundleFiles, key: bytes) -> str:
    """Check that each signature is by a public key (PEM) and signs this statement, and return the key's id.

    Raises
    ------
    RecordError
        If a signature is missing or by another key, or the statement was changed afterwards.
    """
    files = BundleFiles.of(bundle)
    names = find_signatures(files.directory)
    if not names:
        raise RecordError(f"the bundle is not signed ({ENVELOPE} is missing): sign it with `pytest-repro sign`")
    statement = files.read(STATEMENT)
    for name in names:
        payload, signer = find_signer(files.read(name), name, key)
        if payload != statement:
            raise RecordError(f"{STATEMENT} differs from the statement that {name} signs: it was changed")
    return signer


def list_subjects(bundle: BundleFiles) -> list[str] | None:
    """Return the names of the files that a bundle's statement names, or None if it has none that can be read."""
    try:
        return [subject["name"] for subject in _parse_statement(bundle.read(STATEMENT))["subject"]]
    except RecordError:
        return None


def _parse_statement(data: bytes) -> dict[str, Any]:
    document = parse_object(data, STATEMENT)
    subjects = document.get("subject")
    is_ours = document.get("_type") == STATEMENT_TYPE and document.get("predicateType") == PREDICATE_TYPE
    is_ours &= isinstance(document.get("predicate"), dict) and isinstance(document["predicate"].get("result"), str)
    if isinstance(subjects, list) and len(subjects) > MAX_SUBJECTS:
        raise RecordError(f"{STATEMENT} names {len(subjects):,} files; at most {MAX_SUBJECTS:,} are read")
    if not is_ours or not isinstance(subjects, list) or not subjects or not all(map(_is_subject, subjects)):
        raise RecordError(f"{STATEMENT} is not an in-toto statement of a test result")
    names = [subject["name"] for subject in document["subject"]]
    if len(set(names)) < len(names):
        raise RecordError(f"{STATEMENT} names a file twice")
    return document


def _is_subject(subject: Any) -> bool:
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return isinstance(digest, dict) and isinstance(subject.get("name"), str) and isinstance(digest.get("sha256"), str)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
