"""A collection: the records of one session in one environment, in a folder that describes itself.

``collection.json`` is the manifest. While the session runs, each test that has ended is a line of ``tests.jsonl``; the
finished manifest holds all of them, with the digest of every file. Facts that many tests share are stored once, by
their digest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model import JSON
from pytest_repro.model.codec import decode
from pytest_repro.model.reading import check_count, opened, read_file
from pytest_repro.model.reported import Omission, SessionOutcome
from pytest_repro.records.canonical import MAX_BYTES, canonical_bytes, parse_object
from pytest_repro.records.files import StoredRecord, read_record, record_path
from pytest_repro.records.labels import describe_label_problem
from pytest_repro.records.payload import MAX_PAYLOAD_BYTES
from pytest_repro.records.pruning import PAYLOAD_NAME, RECORD_NAME

MANIFEST, JOURNAL = "collection.json", "tests.jsonl"
FORMAT = "pytest-repro collection"
MAJOR, MINOR = 1, 0
#: The manifest's digest of itself. Canonical JSON has this text once, as a key.
OWN_DIGEST = "digest_of_the_rest"
_OWN_MEMBER = re.compile(rb',?"digest_of_the_rest":"(sha256:[0-9a-f]{64})"')
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FACT_DIGITS = 16
#: Facts that each test with a record has; later records have more.
_FACTS = {"environment", "code", "settings", "condition", "config", "data", "policy"}

#: How a test ended: with a record, or without one for this reason.
CollectedStatus = Literal[
    "recorded", "unstable", "inconclusive", "failed", "skipped", "xfailed", "no_values", "not_recorded"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class CollectedFile:
    """A file of the folder, with its size [bytes]."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class CollectedTest:
    """What a collection holds of one test.

    Attributes
    ----------
    verdict : str
        Of the test's own runs.
    reason : str
        Why there is no record.
    digest : str or None
        Digest of run 1's results, as the record has it.
    elements : int
        What the record holds that can be compared.
    record, payload : CollectedFile or None
        The payload is None where no array is stored in a file, or where arrays were not collected.
    keeps_arrays : bool
        False where the record's arrays were not collected.
    facts : dict of str -> str
        ``environment``, ``code``, ``settings``, ``condition``, ``config``, ``data``, ``policy`` -> digest of the fact.
    not_compared_left_out : int
        Values that were not compared and are not listed, because there are so many.
    """

    test: str
    status: CollectedStatus
    seed: int
    verdict: str = ""
    reason: str = ""
    digest: str | None = None
    elements: int = 0
    record: CollectedFile | None = None
    payload: CollectedFile | None = None
    keeps_arrays: bool = True
    facts: dict[str, str] = field(default_factory=dict)
    not_compared: tuple[Omission, ...] = ()
    not_compared_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Uncollected:
    """A file or folder whose tests pytest could not collect, or that it skipped as a whole."""

    name: str
    outcome: Literal["failed", "skipped"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The tests that pytest collected: those that the plugin runs, those that were deselected, a count of the rest."""

    selected: tuple[str, ...] = ()
    deselected: tuple[str, ...] = ()
    others: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``collection.json``.

    Attributes
    ----------
    plugin, pytest : str
        Versions of pytest-repro and pytest.
    takes_all : bool
        Whether tests without the marker were run too (``--repro-all``).
    uncollected : tuple of Uncollected
        Files without tests, because of an error or a skip.
    outcome : SessionOutcome or None
        pytest's own outcome; None while the session runs.
    facts : dict of str -> JSON
        Digest -> fact, beside `environment` and `code`.
    """

    label: str
    plugin: str
    pytest: str
    fingerprint: str
    environment: dict[str, JSON]
    code: dict[str, JSON]
    is_finished: bool = False
    takes_all: bool = False
    selection: Selection | None = None
    uncollected: tuple[Uncollected, ...] = ()
    outcome: SessionOutcome | None = None
    tests: tuple[CollectedTest, ...] = ()
    facts: dict[str, JSON] = field(default_factory=dict)


def fact_digest(fact: JSON) -> str:
    """Return the short digest by which tests refer to a fact."""
    return hashlib.sha256(canonical_bytes(fact)).hexdigest()[:_FACT_DIGITS]


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection that was read.

    Attributes
    ----------
    tests : dict of str -> CollectedTest
    facts : dict of str -> JSON
        Digest -> fact, with environment and code.
    """

    directory: Path
    manifest: Manifest
    tests: dict[str, CollectedTest]
    facts: dict[str, Any]

    @property
    def label(self) -> str:
        """The environment's name."""
        return self.manifest.label

    def facts_of(self, test: CollectedTest) -> dict[str, Any]:
        """Return the circumstances of a test that has a record."""
        return {name: self.facts[digest] for name, digest in test.facts.items()}

    def open_record(self, test: CollectedTest) -> StoredRecord:
        """Read a test's record.

        Raises
        ------
        RecordError
            If it is damaged, or is not the one that the manifest describes.
        """
        assert test.record is not None
        try:
            stored = read_record(self.directory / test.record.name, nodeid=test.test)
        except FileNotFoundError:
            raise RecordError(f"{self.directory}: {test.record.name} is missing") from None
        if (stored.record.digest, stored.record.seed) != (test.digest, test.seed):
            raise RecordError(f"{stored.path}: its results are not those that {MANIFEST} names: one was edited")
        return stored


def read_collection(directory: Path) -> Collection:
    """Read the manifest of a collection that is not trusted, and of an unfinished one the tests that had ended.

    Raises
    ------
    RecordError
        Naming the folder, what is wrong with it, and what to do.
    """
    try:
        return _read(directory)
    except StoreError as error:
        raise RecordError(f"{directory}: {error}") from None
    except OSError as error:
        raise RecordError(f"{directory}: cannot be read: {error.strerror or type(error).__name__}") from None


def _read(directory: Path) -> Collection:
    if not directory.is_dir():
        raise RecordError("is not a folder" if os.path.lexists(directory) else "does not exist")
    if not os.path.lexists(directory / MANIFEST):
        inside = sorted(path.name for path in directory.iterdir() if os.path.lexists(path / MANIFEST))
        hint = f"; it holds collections, name them: {directory}/*/" if inside else ""
        raise RecordError(f"is no collection, since it has no {MANIFEST}{hint or ': collect with --repro-collect'}")
    data = _read_bytes(directory / MANIFEST)
    document = parse_object(data, MANIFEST)
    if document.get("format") != FORMAT:
        raise RecordError(f"{MANIFEST} is not the manifest of a collection")
    version = str(document.get("version"))
    if version.partition(".")[0] != str(MAJOR):
        raise RecordError(f"it has format version {version[:40]!r}, this release reads {MAJOR}.x: use its pytest-repro")
    own = _OWN_MEMBER.findall(data)
    rest = _OWN_MEMBER.sub(b"", data, count=1)
    if [f"sha256:{hashlib.sha256(rest).hexdigest()}".encode()] != own:
        raise RecordError(f"{MANIFEST} does not match its own digest: damaged, or edited by hand; collect again")
    check_count(document.get("tests"), MANIFEST)
    manifest = decode(Manifest, document, MANIFEST)
    if problem := describe_label_problem(manifest.label):
        raise RecordError(f"its label {ascii(manifest.label)[:80]} cannot be used: {problem}")
    tests, facts = list(manifest.tests), dict(manifest.facts)
    # The manifest of a session that has ended lists all tests, so a journal beside it has no more to say.
    if not (manifest.is_finished or manifest.outcome) and os.path.lexists(directory / JOURNAL):
        for test, new in _read_journal(_read_bytes(directory / JOURNAL)):
            tests.append(test)
            facts |= new
    return Collection(directory, manifest, _check_tests(tests, facts := _check_facts(manifest, facts)), facts)


def _read_journal(data: bytes) -> list[tuple[CollectedTest, dict[str, Any]]]:
    """Read the lines of an unfinished session, without one that was cut when the session was killed."""
    found = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        document = parse_object(line, f"{JOURNAL}, line {number}")
        test = decode(CollectedTest, document.get("test"), f"{JOURNAL}, line {number}")
        found.append((test, decode(dict[str, JSON], document.get("facts"), f"{JOURNAL}, line {number}")))
    return found


def _check_tests(tests: Iterable[CollectedTest], facts: Mapping[str, Any]) -> dict[str, CollectedTest]:
    found: dict[str, CollectedTest] = {}
    for test in tests:
        where = f"its test {ascii(test.test)[:80]}"
        if not test.test or test.test in found:
            raise RecordError(f"{where} has no name or occurs twice")
        if test.status == "recorded":
            if test.record is None or not _DIGEST.fullmatch(str(test.digest)) or not test.elements:
                raise RecordError(f"{where} is recorded without a record, a digest or an element")
            if test.record.name != record_path(Path(), test.test).name:
                raise RecordError(f"{where} names the file {ascii(test.record.name)[:80]}, which is not its record's")
            if not test.facts.keys() >= _FACTS or not facts.keys() >= set(test.facts.values()):
                raise RecordError(f"{where} refers to circumstances that it does not have")
        if test.payload is not None and not PAYLOAD_NAME.fullmatch(test.payload.name):
            raise RecordError(f"{where} names the file {ascii(test.payload.name)[:80]}, which is not a payload's")
        found[test.test] = test
    return found


def _check_facts(manifest: Manifest, facts: dict[str, Any]) -> dict[str, Any]:
    facts |= {fact_digest(fact): fact for fact in (manifest.environment, manifest.code)}
    for digest, fact in facts.items():
        if fact_digest(fact) != digest:
            raise RecordError(f"a fact does not match its digest {digest[:19]}: damaged, or edited by hand")
    return facts


def check_files(collection: Collection) -> list[str]:
    """Check every file of a collection against its digest in the manifest.

    Returns
    -------
    list of str
        Tests whose arrays are not here, which leaves a difference without figures.

    Raises
    ------
    RecordError
        Naming the first file that is missing, changed, of another kind, or not in the manifest.
    """
    directory, absent = collection.directory, []
    try:
        names = {path.name for path in directory.iterdir()}
        for test in collection.tests.values():
            if test.record is not None:
                _check_record(directory, test, test.record)
            if test.payload is not None and test.payload.name not in names:
                absent.append(test.test)
            elif test.payload is not None:
                _check_digest(test.payload, (directory / test.payload.name))
    except RecordError as error:
        raise RecordError(f"{directory}: {error}; collect again") from None
    except OSError as error:
        raise RecordError(f"{directory}: cannot be read: {error.strerror or type(error).__name__}") from None
    listed = {test.record.name for test in collection.tests.values() if test.record is not None}
    extra = sorted(name for name in names if RECORD_NAME.fullmatch(name) and name not in listed)
    if extra and collection.manifest.is_finished:
        raise RecordError(f"{directory}: {MANIFEST} does not name the record {extra[0]}: added later; collect again")
    return absent


def _check_record(directory: Path, test: CollectedTest, expected: CollectedFile) -> None:
    data = _read_bytes(directory / expected.name)
    if len(data) != expected.size or hashlib.sha256(data).hexdigest() != expected.sha256:
        raise _mismatch(expected)
    # What a comparison reads in the manifest, the record must say too. In canonical JSON the two keys are neighbours,
    # and a text cannot contain them, since its quotes are escaped.
    if f'"digest":"{test.digest}","environment":'.encode() not in data:
        raise RecordError(f"{expected.name} has other results than {MANIFEST} says: one was edited")


def _check_digest(expected: CollectedFile, path: Path) -> None:
    hasher = hashlib.sha256()
    try:
        with opened(path, max_bytes=MAX_PAYLOAD_BYTES) as file:
            for block in file.iterate() if file.size_bytes == expected.size else ():
                hasher.update(block)
    except StoreError as error:
        raise RecordError(f"{expected.name}: {error}") from None
    if hasher.hexdigest() != expected.sha256:
        raise _mismatch(expected)


def _mismatch(expected: CollectedFile) -> RecordError:
    return RecordError(f"{expected.name} does not match its digest in {MANIFEST}: damaged, cut short or edited")


def _read_bytes(path: Path) -> bytes:
    try:
        return read_file(path, max_bytes=MAX_BYTES)
    except StoreError as error:
        raise RecordError(f"{path.name}: {error}") from None
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read: {error.strerror or type(error).__name__}") from None
