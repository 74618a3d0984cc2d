"""What is to be reproduced: a bundle of evidence or records, checked and not trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_repro.errors import PayloadAbsentError, RecordError
from pytest_repro.model.reading import read_file
from pytest_repro.model.reported import ReportedTest
from pytest_repro.records.attestation import STATEMENT, check_signature
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.bundle_files import MAX_ARRAYS_BYTES, RECORDS_FOLDER, BundleFiles
from pytest_repro.records.canonical import MAX_BYTES, parse_object
from pytest_repro.records.documents import EVIDENCE, RECORD, Original, read_session
from pytest_repro.records.evidence import PATCH, Render
from pytest_repro.records.files import read_record
from pytest_repro.records.record import Record, parse_record

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SEED = re.compile(r"--repro-seed=(\d{1,20})(?!\S)")
#: Records of a folder.
MAX_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class RecordedTest:
    """A test with its recorded result.

    Attributes
    ----------
    nodeid : str
    seed : int
    digest : str or None
        Digest of run 1's results, ``sha256:<hex>``. None where the test gave none.
    data, config : dict
        As documents, by the test's own names.
    verdict : str
        Of the test's own runs.
    base_seed : int or None
        The session's seed from which that of the test was derived. None where the test has its own, or it is unknown.
    record : str or None
        Name of its record among :attr:`Subject.records`, if that has the same results.
    record_sha256 : str
        Digest of the record's file, hexadecimal.
    variables : dict
        Variables that the test read, with digests of their values.
    """

    nodeid: str
    seed: int
    digest: str | None
    data: dict[str, Any]
    config: dict[str, Any]
    verdict: str = ""
    base_seed: int | None = None
    record: str | None = None
    record_sha256: str = ""
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be reproduced.

    Attributes
    ----------
    original : Original
        The file that stands for all of it, with its digest.
    is_bundle : bool
        False for records alone, of which less is known.
    code, environment : dict
        As documents.
    records : dict of str -> bytes
        Records and their arrays, by file name.
    patch : bytes or None
        The recorded changes of the code.
    notes : tuple of str
        What the patch lacks.
    command : str
        The recorded command. Empty where it is unknown.
    runs : int
        Number of runs of a record. 0 where the command tells it.
    """

    original: Original
    is_bundle: bool
    code: dict[str, Any]
    environment: dict[str, Any]
    tests: tuple[RecordedTest, ...]
    records: dict[str, bytes]
    patch: bytes | None = None
    notes: tuple[str, ...] = ()
    command: str = ""
    runs: int = 0

    @property
    def commit(self) -> str | None:
        """The recorded commit, or None if there was none."""
        commit = self.code.get("commit")
        return commit if isinstance(commit, str) else None

    @property
    def packages(self) -> dict[str, Any]:
        """The recorded packages by name, or an empty dict where they are unknown."""
        return mapping(self.environment.get("packages"))


def read_subject(
    path: Path, texts: Mapping[str, Render], *, key: bytes | None = None, chosen: tuple[str, ...] = ()
) -> Subject:
    """Read and check what is to be reproduced.

    Parameters
    ----------
    path : Path
        Folder of a bundle, a record, or a folder of records.
    texts : mapping
        Renders the texts of a bundle again, for comparison.
    key : bytes, optional
        PEM of the public key that must have signed the bundle.
    chosen : tuple of str
        Node ids. Empty for all tests.

    Raises
    ------
    RecordError
        If it was changed, contradicts itself, or holds what must not reach a command.
    """
    if path.is_dir() and any((path / name).exists() for name in (STATEMENT, EVIDENCE, RECORD)):
        found = _read_bundle(BundleFiles(path), texts, key)
    elif key is not None:
        raise RecordError(f"{path} is no bundle: only a bundle has a signature that --key could check")
    else:
        found = _read_records(path)
    if unknown := sorted(set(chosen) - {test.nodeid for test in found.tests}):
        raise RecordError(f"it has no test {unknown[0]!r}; its tests are in record.json")
    tests = tuple(test for test in found.tests if not chosen or test.nodeid in chosen)
    for test in tests:
        check_nodeid(test.nodeid)
    if found.commit is not None and not _COMMIT.fullmatch(found.commit):
        raise RecordError(f"its commit must be 40 hexadecimal digits, got {found.commit[:60]!r}")
    return Subject(
        found.original, found.is_bundle, found.code, found.environment, tests, found.records, found.patch, found.notes,
        found.command, found.runs,
    )  # fmt: skip


def check_nodeid(nodeid: str) -> None:
    """Refuse a node id that pytest would take for an option, a file of arguments, or a file outside of the project."""
    place = PurePosixPath(nodeid.partition("::")[0])
    is_plain = nodeid[:1] not in ("", "-", "@") and "\0" not in nodeid and "\\" not in str(place)
    if not is_plain or "::" not in nodeid or place.is_absolute() or ".." in place.parts or ":" in str(place):
        raise RecordError(f"the test {nodeid[:100]!r} is no node id of a test within a project: it is not run")


def mapping(value: Any) -> dict[str, Any]:
    """Return a part of a document that should be an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def _read_bundle(files: BundleFiles, texts: Mapping[str, Render], key: bytes | None) -> Subject:
    if key is not None:
        check_signature(files, key)
    bundle = read_bundle(files, texts)
    session, context = read_session(files.read(RECORD), files.read(EVIDENCE))
    document = parse_object(files.read(RECORD), RECORD)
    copies = {
        name.partition("/")[2]: files.read(name) for name in bundle.subjects if name.startswith(f"{RECORDS_FOLDER}/")
    }
    entries: Any = document["tests"]
    reported = {test.nodeid: test for test in session.tests}
    # A test that ran twice is judged by its last run.
    tests = {entry["test"]: _read_test(entry, copies, reported[entry["test"]]) for entry in entries}
    return Subject(
        Original(STATEMENT, hashlib.sha256(files.read(STATEMENT)).hexdigest()),
        True,
        mapping(document.get("code")),
        mapping(document.get("environment")),
        tuple(tests.values()),
        copies,
        files.read(PATCH) if PATCH in bundle.subjects else None,
        tuple(note.removeprefix(f"{PATCH}: ") for note in context.left_out if note.startswith(f"{PATCH}: ")),
        str(context.circumstances.get("command") or ""),
    )


def _read_test(entry: Mapping[str, Any], copies: Mapping[str, bytes], test: ReportedTest) -> RecordedTest:
    digests = entry.get("digests") or [None]
    name = str(entry.get("record") or "").rpartition("/")[2]
    record = parse_record(copies[name]) if name in copies else None
    is_same = record is not None and record.digest == digests[0] and record.seed == entry["seed"]
    seed = _SEED.search(test.repeat_command)
    return RecordedTest(
        entry["test"],
        entry["seed"],
        digests[0],
        mapping(entry.get("data")),
        mapping(entry.get("config")),
        test.verdict.value,
        int(seed[1]) if seed else None,
        name if is_same else None,
        str(entry.get("record_sha256") or "") if is_same else "",
        mapping(record.facts["variables_read"]) if record is not None else {},
    )


def _read_records(path: Path) -> Subject:
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise RecordError(f"{path} is neither a bundle of evidence nor a folder of records")
    if len(paths) > MAX_RECORDS:
        raise RecordError(f"{path} has {len(paths):,} records; at most {MAX_RECORDS:,} are read")
    copies: dict[str, bytes] = {}
    records: list[tuple[str, Record]] = []
    for each in paths:
        records.append((each.name, _copy_record(each, copies)))
    first = records[0][1]
    states = {_state(record) for _, record in records}
    if len(states) > 1:
        raise RecordError(f"{path} has records of {len(states)} states of the code: give one record")
    digests = {name: hashlib.sha256(copies[name]).hexdigest() for name, _ in records}
    if path.is_dir():
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        original = Original("records", hashlib.sha256(lines.encode()).hexdigest())
    else:
        original = Original(path.name, digests[path.name])
    tests = [_test_of(record, name, digests[name]) for name, record in records]
    runs = first.facts["policy"].get("runs")
    return Subject(
        original,
        False,
        first.facts["code"],
        first.facts["environment"],
        tuple(tests),
        copies,
        runs=runs if isinstance(runs, int) and 2 <= runs <= 1000 else 2,
    )


def _state(record: Record) -> str:
    code = record.facts["code"]
    return f"{code.get('commit')} {code.get('diff')}"


def _copy_record(path: Path, copies: dict[str, bytes]) -> Record:
    """Add a record and its arrays, if they are here, to the copies."""
    stored = read_record(path)
    copies[path.name] = read_file(path, max_bytes=MAX_BYTES)
    try:
        stored.load()
    except PayloadAbsentError:
        return stored.record
    payload = stored.record.payload or {}
    if payload.get("kind") == "file":
        name = str(payload["path"])
        copies[name] = read_file(path.parent / name, max_bytes=MAX_ARRAYS_BYTES)
    return stored.record


def _test_of(record: Record, name: str, sha256: str) -> RecordedTest:
    policy = record.facts["policy"]
    base = policy.get("base_seed")
    return RecordedTest(
        record.nodeid,
        record.seed,
        record.digest,
        mapping(record.facts["data"]),
        mapping(record.facts["config"]),
        str(policy.get("verdict") or ""),
        base if isinstance(base, int) else int(base) if isinstance(base, str) and base.isdecimal() else None,
        name,
        sha256,
        mapping(record.facts["variables_read"]),
    )
