"""Write a collection as its session runs: whole at any time, and marked as unfinished until the end."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.model import JSON
from pytest_repro.model.codec import encode
from pytest_repro.model.reading import read_file
from pytest_repro.model.reported import SessionOutcome
from pytest_repro.records.canonical import MAX_BYTES, as_document, canonical_bytes
from pytest_repro.records.collection import (
    FORMAT,
    JOURNAL,
    MAJOR,
    MANIFEST,
    MINOR,
    OWN_DIGEST,
    CollectedFile,
    CollectedTest,
    Manifest,
    Selection,
    Uncollected,
    fact_digest,
    read_collection,
)
from pytest_repro.records.files import replacing
from pytest_repro.records.pruning import PAYLOAD_NAME, RECORD_NAME, UNFINISHED_NAME

_ALWAYS = ("test", "status", "seed")
_DEFAULTS = encode(CollectedTest("", "recorded", 0))


class CollectionWriter:
    """Writes a collection, which is whole at any time.

    Parameters
    ----------
    directory : Path
    manifest : Manifest
        Unfinished, without tests.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self._directory, self._manifest = directory, manifest
        self._known = {fact_digest(manifest.environment), fact_digest(manifest.code)}
        self._tests: dict[str, CollectedTest] = {}
        self._facts: dict[str, JSON] = {}
        self._written = b""

    @property
    def tests(self) -> dict[str, CollectedTest]:
        """The tests so far, by name."""
        return self._tests

    def begin(self) -> None:
        """Write a manifest without tests, in place of an earlier session's collection.

        Raises
        ------
        RecordError
            If the folder holds other files, or the collection of another environment.
        OSError
            If it cannot be written.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._check_earlier()
        # In this order, a session that is killed leaves the earlier collection, or an unfinished one with files that no
        # manifest names.
        (self._directory / JOURNAL).unlink(missing_ok=True)
        self._write()
        self._remove_earlier()

    def _check_earlier(self) -> None:
        found = [path for path in sorted(self._directory.iterdir()) if not UNFINISHED_NAME.fullmatch(path.name)]
        if not found:
            return
        if not os.path.lexists(self._directory / MANIFEST):
            raise RecordError(
                f"{self._directory} is not empty and is no collection (it has {found[0].name!r}): name a new folder, "
                "as in --repro-collect=out/LABEL, or end the path with a slash to have the label made"
            )
        earlier = read_collection(self._directory).manifest
        if earlier.fingerprint != self._manifest.fingerprint:
            raise RecordError(
                f"{self._directory} holds the collection of another environment ({earlier.fingerprint[:19]}, here "
                f"{self._manifest.fingerprint[:19]}): give this one another label, or remove the folder"
            )

    def _remove_earlier(self) -> None:
        for path in self._directory.iterdir():
            if any(name.fullmatch(path.name) for name in (RECORD_NAME, PAYLOAD_NAME, UNFINISHED_NAME)):
                path.unlink()

    def describe(self, selection: Selection) -> None:
        """Add what pytest collected to the manifest."""
        self._manifest = replace(self._manifest, selection=selection)
        self._write()

    def add(self, test: CollectedTest, facts: Mapping[str, JSON]) -> None:
        """Add a test that has ended.

        Parameters
        ----------
        facts : mapping
            Digest -> fact of all that the test refers to.

        Raises
        ------
        RecordError
            If another session writes to the same folder.
        OSError
            If it cannot be written.
        """
        self._check_own()
        new = {digest: fact for digest, fact in facts.items() if digest not in self._known}
        self._known |= new.keys()
        self._facts |= new
        self._tests[test.test] = test
        line = canonical_bytes(as_document({"test": _encode_test(test), "facts": new}))
        with (self._directory / JOURNAL).open("ab") as file:
            file.write(line + b"\n")

    def replace(self, test: CollectedTest) -> None:
        """Replace what was said of a test, before the end."""
        self._tests[test.test] = test

    def finish(self, outcome: SessionOutcome, uncollected: Iterable[Uncollected], *, is_finished: bool) -> None:
        """Write the manifest with all tests, and with the digest of every file."""
        self._check_own()
        self._manifest = replace(
            self._manifest,
            is_finished=is_finished,
            outcome=outcome,
            uncollected=tuple(uncollected),
            tests=tuple(self._tests.values()),
            facts=self._facts,
        )
        self._write()
        (self._directory / JOURNAL).unlink(missing_ok=True)

    def _write(self) -> None:
        data = manifest_bytes(self._manifest)
        with replacing(self._directory / MANIFEST) as file:
            file.write(data)
        self._written = data

    def _check_own(self) -> None:
        try:
            found = (self._directory / MANIFEST).read_bytes()
        except FileNotFoundError:
            raise RecordError(f"{self._directory / MANIFEST} was removed while the session ran") from None
        if found != self._written:
            raise RecordError(
                f"another session writes to {self._directory}: give each its own folder (--repro-collect=out/LABEL)"
            )


def manifest_bytes(manifest: Manifest) -> bytes:
    """Serialise a manifest with a digest of itself."""
    document = {"format": FORMAT, "version": f"{MAJOR}.{MINOR}", **encode(replace(manifest, tests=()))}
    document["tests"] = [_encode_test(test) for test in manifest.tests]
    body = as_document(document)
    assert isinstance(body, dict)
    digest = hashlib.sha256(canonical_bytes(body)).hexdigest()
    return canonical_bytes({**body, OWN_DIGEST: f"sha256:{digest}"})


def _encode_test(test: CollectedTest) -> dict[str, JSON]:
    """Return a test without what has its default: a session may have thousands."""
    return {key: value for key, value in encode(test).items() if key in _ALWAYS or value != _DEFAULTS[key]}


def describe_file(path: Path) -> CollectedFile:
    """Return a record's name, digest and size."""
    data = read_file(path, max_bytes=MAX_BYTES)
    return CollectedFile(path.name, hashlib.sha256(data).hexdigest(), len(data))


def count_recorded_elements(entries: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of elements of a record's artifacts: one for a plain value."""
    sizes = (
        math.prod(entry["shape"]) if entry["form"] == "array" else int(entry["form"] == "value") for entry in entries
    )
    return sum(sizes)
