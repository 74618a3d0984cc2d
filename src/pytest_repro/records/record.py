"""A record, as a document and back: the results of one test and the circumstances in which it ran."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro.capturing.digesting import digest_leaves, digest_parts
from pytest_repro.capturing.manifest import decode_leaf, encode_leaf, is_count
from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model import JSON, Artifacts, Leaf
from pytest_repro.records.canonical import (
    ADVICE,
    MAX_ARTIFACTS,
    as_document,
    canonical_bytes,
    escape_surrogates,
    parse_strictly,
)
from pytest_repro.records.figures import describe_array, sample_bits
from pytest_repro.records.payload import Tensors
from pytest_repro.undisturbed import undisturbed

FORMAT = "pytest-repro record"
MAJOR, MINOR = 1, 0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FACTS = ("code", "condition", "config", "data", "environment", "policy", "settings")
#: Facts that a document of version 1.0 may lack.
_LATER_FACTS = ("variables_read",)
#: Key -> type; a document of a later minor version may have more keys.
_KEYS: dict[str, type] = {
    "format": str, "version": str, "test": str, "seed": int, "digest": str, "artifacts": list, "updates": list,
    "sha256": str, **dict.fromkeys(_FACTS, dict),
}  # fmt: skip
_LEAF_KEYS = ("path", "form", "type", "dtype", "shape", "traits", "value", "stored")
#: The format of a long double depends on the architecture, under one NumPy dtype.
_LONG_DOUBLE = f"{np.finfo(np.longdouble).nmant} bits"


@dataclass(frozen=True, slots=True)
class Record:
    """The recorded results of one test.

    Attributes
    ----------
    digest : str
        Digest of all artifacts, ``sha256:<hex>``; equal if and only if every bit is.
    entries : list of dict
        One artifact each: its leaf and digest; for an array also figures, sampled bits and the name of its tensor.
    facts : dict
        ``environment``, ``code``, ``data``, ``config``, ``settings``, ``condition``, ``policy``.
    payload : dict or None
        Where the tensors are; None where no artifact is an array.
    updates : list of {"reason", "replaced"}
        Why the record was overwritten, oldest first, with the digest of the earlier results.
    """

    nodeid: str
    seed: int
    digest: str
    entries: list[dict[str, JSON]]
    facts: dict[str, Any]
    payload: dict[str, JSON] | None = None
    updates: list[dict[str, JSON]] = field(default_factory=list)

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each artifact by its path."""
        return {_path(entry): str(entry["digest"]) for entry in self.entries}


@undisturbed
def draft_record(
    nodeid: str,
    seed: int,
    artifacts: Artifacts,
    facts: Mapping[str, Any],
    updates: list[dict[str, JSON]] | None = None,
) -> tuple[Record, dict[str, np.ndarray[Any, Any]]]:
    """Return the record of a test's artifacts.

    Returns
    -------
    record : Record
        Without its payload.
    arrays : dict of str -> ndarray
        The tensors for the payload.
    """
    entries, arrays = [], {}
    for number, (path, leaf) in enumerate(artifacts.leaves.items()):
        entry = encode_leaf(path, leaf)
        entry["digest"] = f"sha256:{digest_leaves({path: leaf})}"
        if leaf.form == "array":
            name = _tensor_name(path, number)
            arrays[name] = leaf.data
            entry |= {"stored": leaf.data.dtype.newbyteorder("<").str, "tensor": name}
            entry |= {"figures": describe_array(leaf), "samples": sample_bits(leaf)}
            if leaf.data.dtype.char in "gG":
                entry["long_double"] = _LONG_DOUBLE
        entries.append(entry)
    given = {name: as_document(facts.get(name) or {}) for name in (*_FACTS, *_LATER_FACTS)}
    test = escape_surrogates(nodeid)
    whole = digest_parts({path: str(entry["digest"]) for path, entry in zip(artifacts.leaves, entries, strict=True)})
    return Record(test, seed, whole, entries, given, updates=updates or []), arrays


def _tensor_name(path: str, number: int) -> str:
    """Return the artifact's path, or a number where safetensors cannot have the path as a name."""
    is_plain = path and path == escape_surrogates(path) and path != "__metadata__" and not path.startswith("artifact-")
    return path if is_plain else f"artifact-{number}"


def record_bytes(record: Record) -> bytes:
    """Serialise a record with a digest of itself, which reveals damage."""
    document: dict[str, JSON] = {
        "format": FORMAT,
        "version": f"{MAJOR}.{MINOR}",
        "test": record.nodeid,
        "seed": record.seed,
        "digest": record.digest,
        "artifacts": list(record.entries),
        "payload": record.payload,
        "updates": list(record.updates),
        **record.facts,
    }
    # Part by part, so that the digest and the record take one pass.
    parts = {key: canonical_bytes(value) for key, value in document.items()}
    digest = hashlib.sha256(_join(parts)).hexdigest()
    return _join({**parts, "sha256": canonical_bytes(digest)})


def _join(parts: dict[str, bytes]) -> bytes:
    """Return the canonical object of canonical values."""
    return b"{%s}" % b",".join(b'"%s":%s' % (key.encode("ascii"), parts[key]) for key in sorted(parts))


def _matches_own_digest(data: bytes, document: dict[str, JSON]) -> bool:
    """Return whether a record is the one whose digest it has, whatever white space was added to it."""
    digest = str(document["sha256"])
    before, found, after = data.partition(b'"sha256":"%s",' % digest.encode("utf-8", "replace"))
    if found and hashlib.sha256(before + after).hexdigest() == digest:
        return True  # as it was written, which is known without writing it again
    return _own_digest({key: value for key, value in document.items() if key != "sha256"}) == digest


def _own_digest(document: dict[str, JSON]) -> str:
    return hashlib.sha256(canonical_bytes(document)).hexdigest()


@undisturbed
def parse_record(data: bytes) -> Record:
    """Read a record that is not trusted, without its artifacts, which :func:`decode_artifacts` decodes.

    Raises
    ------
    RecordError
        If it is damaged, edited, of another format, or of a major version that this release does not know.
    """
    try:
        document = parse_strictly(data)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise RecordError(f"it is not a record of pytest-repro (its format is not {FORMAT!r})")
        _check_version(document.get("version"))
        _check_keys(document)
        if not _matches_own_digest(data, document):
            raise RecordError("it does not match its own digest: damaged, or edited by hand; record the test again")
    except StoreError as error:
        raise error if isinstance(error, RecordError) else RecordError(str(error)) from None
    fields: Any = document
    record = Record(
        fields["test"],
        fields["seed"],
        fields["digest"],
        fields["artifacts"],
        {name: fields[name] for name in _FACTS} | {name: fields.get(name) or {} for name in _LATER_FACTS},
        fields["payload"],
        fields["updates"],
    )
    if len(record.digests) != len(record.entries):
        raise RecordError("one of its artifacts occurs twice")
    if digest_parts(record.digests) != record.digest:
        raise RecordError("its artifacts together do not match its digest: one was added or removed")
    return record


def _check_version(version: JSON) -> None:
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", version) if isinstance(version, str) else None
    if match is None:
        raise RecordError(f"its version must be text such as '1.0', got {str(version)[:40]!r}")
    if int(match[1]) != MAJOR:
        raise RecordError(
            f"it has format version {version}, this release reads {MAJOR}.x: use the pytest-repro that wrote it"
        )


def _check_keys(document: dict[str, JSON]) -> None:
    for key, kind in _KEYS.items():
        if type(document.get(key)) is not kind:
            raise RecordError(f"its {key!r} is missing or not of type {kind.__name__}")
    if document.get("payload", 0) is not None and not isinstance(document.get("payload"), dict):
        raise RecordError("its 'payload' is missing or not an object")
    seed, artifacts, updates = document["seed"], document["artifacts"], document["updates"]
    if not is_count(seed) or not _DIGEST.fullmatch(str(document["digest"])):
        raise RecordError("its seed or its digest is malformed")
    assert isinstance(artifacts, list)
    assert isinstance(updates, list)
    if len(artifacts) > MAX_ARTIFACTS:
        raise RecordError(f"it has {len(artifacts):,} artifacts; at most {MAX_ARTIFACTS:,} are read: {ADVICE}")
    for entry in artifacts:
        if not isinstance(entry, dict) or not {"path", "form", "digest"} <= set(entry):
            raise RecordError("an artifact must be an object with a path, a form and a digest")
        path = _path(entry)
        if not _DIGEST.fullmatch(str(entry["digest"])):
            raise RecordError(f"the digest of its artifact {path[:80]!r} is malformed")
    if not all(isinstance(u, dict) and isinstance(u.get("reason"), str) for u in updates):
        raise RecordError("an update has no reason")


def _path(entry: dict[str, JSON]) -> str:
    path: Any = entry["path"]
    try:
        # The form in which capturing.manifest writes a text with a lone surrogate.
        return path if isinstance(path, str) else bytes.fromhex(path["utf8"]).decode("utf-8", "surrogatepass")
    except (KeyError, TypeError, ValueError):
        raise RecordError(f"an artifact's path must be text, got {str(path)[:60]!r}") from None


@undisturbed
def decode_artifacts(record: Record, tensors: Tensors | None) -> Artifacts:
    """Return the artifacts, after checking each against its digest.

    Raises
    ------
    RecordError
        If an entry is malformed, or its artifact does not match its digest.
    """
    artifacts = Artifacts()
    used: set[str] = set()
    for number, entry in enumerate(record.entries, start=1):
        try:
            path, leaf = _decode_entry(entry, tensors, used)
        except StoreError as error:
            raise RecordError(f"artifact {number}: {error}") from None
        if path in artifacts.leaves:
            raise RecordError(f"the artifact {path[:80]!r} occurs twice")
        if f"sha256:{digest_leaves({path: leaf})}" != entry["digest"]:
            raise RecordError(f"the artifact {path[:80]!r} does not match the digest in the record: damaged")
        artifacts.leaves[path] = leaf
    if tensors is not None and tensors.names != used:
        raise RecordError(f"its payload has tensors that belong to no artifact: {sorted(tensors.names - used)[:3]}")
    return artifacts


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin the message of an error about a record with its path."""
    try:
        yield
    except RecordError as error:
        raise type(error)(f"{path}: {error}") from None


@undisturbed
def check_values(record: Record) -> None:
    """Check each artifact that is no array against its digest, without the arrays.

    Raises
    ------
    RecordError
        If one is malformed, or does not match.
    """
    for number, entry in enumerate(record.entries, start=1):
        if entry["form"] == "array":
            continue
        try:
            path, leaf = _decode_entry(entry, None, set())
        except StoreError as error:
            raise RecordError(f"artifact {number}: {error}") from None
        if f"sha256:{digest_leaves({path: leaf})}" != entry["digest"]:
            raise RecordError(f"the artifact {path[:80]!r} does not match the digest in the record: damaged")


@undisturbed
def check_forms(record: Record, artifacts: Artifacts) -> None:
    """Check the dtype and the shape of each array entry against artifacts that have the record's digest.

    Raises
    ------
    RecordError
        If an entry claims others.
    """
    for entry in record.entries:
        path = _path(entry)
        leaf = artifacts.leaves[path]
        if leaf.form == "array" and (entry.get("dtype"), entry.get("shape")) != (leaf.dtype, [*leaf.shape]):
            raise RecordError(f"its artifact {path[:80]!r} has another dtype or shape than its digest: edited")


@undisturbed
def check_figures(record: Record, artifacts: Artifacts) -> None:
    """Check the figures and samples that a record shows of its arrays against the arrays.

    Raises
    ------
    RecordError
        If they belong to other arrays.
    """
    for entry in record.entries:
        leaf = artifacts.leaves[_path(entry)]
        if leaf.form != "array":
            continue
        claimed = entry.get("figures"), entry.get("samples")
        if claimed != (as_document(describe_array(leaf)), as_document(sample_bits(leaf))):
            raise RecordError(f"the figures of its artifact {_path(entry)[:80]!r} are not those of its array: edited")


def _decode_entry(entry: dict[str, JSON], tensors: Tensors | None, used: set[str]) -> tuple[str, Leaf]:
    core = {key: entry[key] for key in _LEAF_KEYS if key in entry}
    if entry["form"] == "array":
        core |= {"offset": 0, "length": 0}

    def read(_: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        name = entry.get("tensor")
        if tensors is None or not isinstance(name, str) or name in used:
            raise StoreError(f"its tensor {str(name)[:60]!r} is missing, or belongs to another artifact")
        if dtype.char in "gG" and entry.get("long_double") != _LONG_DOUBLE:
            raise StoreError(
                f"a long double of {entry.get('long_double')} cannot be read on a machine where it has {_LONG_DOUBLE}"
            )
        used.add(name)
        array = tensors.read(name, dtype, shape)
        # Payloads are little-endian; a big-endian array must be compared with a big-endian one again.
        is_big = str(entry.get("dtype")).startswith(">")
        return array.astype(dtype.newbyteorder(">" if is_big else "="), copy=False)

    return decode_leaf(core, read)
