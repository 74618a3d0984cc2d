"""Records as files: their names, atomic writing, and reading files that may be hostile.

A record is ``<test>-<hash>.json``. Arrays beyond a limit are next to it in ``<test>-<hash>-<hash>.safetensors``, which
DVC or git-lfs can store.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from pytest_repro.errors import PayloadAbsentError, RecordChangedError, RecordError, StoreError
from pytest_repro.model import JSON, Artifacts
from pytest_repro.model.reading import read_file
from pytest_repro.records.canonical import ADVICE, MAX_BYTES
from pytest_repro.records.payload import Tensors, read_payload, write_payload
from pytest_repro.records.record import Record, decode_artifacts, draft_record, parse_record, record_bytes

#: Largest array data that the manifest itself stores [bytes].
INLINE_BYTES = 64 * 1024
_PAYLOAD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,200}\.safetensors")
_LFS = b"version https://git-lfs.github.com/spec/"
_MAX_SLUG = 100


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record that was read from a file."""

    record: Record
    path: Path

    def load(self) -> Artifacts:
        """Return the artifacts, each checked against its digest, with arrays mapped from the file.

        Raises
        ------
        PayloadAbsentError
            If the arrays are not here.
        RecordError
            If they are damaged.
        """
        try:
            return decode_artifacts(self.record, _find_payload(self.record.payload, self.path.parent))
        except RecordError as error:
            raise type(error)(f"{self.path}: {error}") from None
        except StoreError as error:
            raise RecordError(f"{self.path}: {error}") from None


def record_path(directory: Path, nodeid: str) -> Path:
    """Return the path of a test's record: a readable name, and a hash that distinguishes tests."""
    text = nodeid.encode("utf-8", "backslashreplace")
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", nodeid)[-_MAX_SLUG:].strip("-.")
    return directory / f"{slug or 'test'}-{hashlib.sha256(text).hexdigest()[:12]}.json"


def read_record(path: Path, *, nodeid: str | None = None) -> StoredRecord:
    """Read a record's manifest.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    RecordError
        If it cannot be trusted, or belongs to another test than `nodeid`.
    """
    try:
        record = parse_record(_read_file(path))
    except FileNotFoundError:
        raise
    except StoreError as error:
        raise RecordError(f"{path}: {error}") from None
    except OSError as error:
        raise RecordError(f"cannot read the record {path}: {error.strerror or type(error).__name__}") from None
    if nodeid is not None and record.nodeid != nodeid.encode("utf-8", "backslashreplace").decode("utf-8"):
        raise RecordError(f"{path} is the record of another test, {record.nodeid!r}, not of {nodeid!r}")
    return StoredRecord(record, path)


def _read_file(path: Path) -> bytes:
    data = read_file(path, max_bytes=MAX_BYTES, advice=ADVICE)
    if data.startswith(_LFS):
        raise RecordError("it is a git-lfs pointer, not the record: fetch it with `git lfs pull`")
    if data[:2] == b"PK" or data[:1] == b"\x80":
        raise RecordError("it is a zip archive or a pickle, not a record; nothing in it was opened")
    return data


def _find_payload(payload: dict[str, JSON] | None, directory: Path) -> Tensors | None:
    if payload is None:
        return None
    kind, sha256, size = payload.get("kind"), payload.get("sha256"), payload.get("size")
    if payload.get("format") != "safetensors" or kind not in ("inline", "file") or type(size) is not int:
        raise RecordError(f"its payload is of an unknown kind: {str(payload)[:80]}")
    if kind == "inline":
        try:
            data = base64.b64decode(str(payload.get("base64")), validate=True)
        except ValueError as error:
            raise RecordError(f"its inline payload is not base64: {error}") from None
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise RecordError("its inline payload does not match the digest in the record: damaged")
        return Tensors(np.frombuffer(data, np.uint8), "its inline payload")
    path = _payload_path(payload, directory)
    try:
        return read_payload(path, sha256=str(sha256), size=size)
    except StoreError as error:
        raise RecordError(f"its payload {path.name}: {error}") from None
    except OSError as error:
        raise RecordError(f"its payload {path.name} cannot be read: {error.strerror or type(error).__name__}") from None


def _payload_path(payload: dict[str, JSON], directory: Path) -> Path:
    name = payload.get("path")
    if not isinstance(name, str) or not _PAYLOAD_NAME.fullmatch(name):
        raise RecordError(f"its payload's path {str(name)[:60]!r} is not the name of a file next to the record")
    path = directory / name
    try:
        found = path.lstat()
    except FileNotFoundError:
        pointer = path.with_name(f"{name}.dvc")
        fetch = f"fetch it with `dvc pull {pointer}`" if pointer.exists() else "fetch it, or record the test again"
        raise PayloadAbsentError(f"its arrays are not here ({name} is missing): {fetch}") from None
    if not stat.S_ISREG(found.st_mode):
        raise RecordError(
            f"its payload {name} must be a regular file: with DVC set `dvc config cache.type reflink,hardlink,copy`"
        )
    if found.st_size < 1024 and read_file(path, max_bytes=1024).startswith(_LFS):
        raise PayloadAbsentError(
            f"its arrays are not here ({name} is a git-lfs pointer): fetch them with `git lfs pull`"
        )
    return path


def write_record(
    directory: Path,
    nodeid: str,
    seed: int,
    artifacts: Artifacts,
    facts: Mapping[str, Any],
    updates: list[dict[str, JSON]] | None = None,
    *,
    inline_bytes: int = INLINE_BYTES,
    older: StoredRecord | Literal["any"] | None = "any",
) -> Path:
    """Write the record of a test in place of an older one: a reader finds either, never a mixture.

    The payload's name contains the hash of its content, so that the older record keeps its payload until the manifest
    is renamed. Before that, the new files are read back and compared.

    Parameters
    ----------
    older : StoredRecord, None or "any"
        The record that it replaces, None if there was none. Another session may have written one in the meantime.

    Raises
    ------
    RecordChangedError
        If the record is not the one that this is to replace. It is unchanged.
    RecordError
        If the disk is full, the directory cannot be written, or the files that were read back differ.
    """
    path = record_path(directory, nodeid)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        data = _write_payload(path, inline_bytes, *draft_record(nodeid, seed, artifacts, facts, updates))
        StoredRecord(parse_record(data), path).load()
        with _alone(directory), replacing(path) as file:
            file.write(data)
            if older != "any" and _read_older(path) != (older.record if older is not None else None):
                raise RecordChangedError(f"another session has written the record {path.name} in the meantime")
    except OSError as error:
        raise RecordError(f"cannot write the record {path}: {error}; the older record, if any, is unchanged") from error
    return path


def _write_payload(path: Path, inline_bytes: int, record: Record, arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Write the arrays, and return the manifest."""
    payload = _write_arrays(path, arrays, inline_bytes) if arrays else None
    return record_bytes(replace(record, payload=payload))


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Have no other session write a record in the directory within the block."""
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read_older(path: Path) -> Record | None:
    try:
        return read_record(path).record
    except FileNotFoundError:
        return None


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], inline_bytes: int) -> dict[str, JSON]:
    if sum(array.nbytes for array in arrays.values()) <= inline_bytes:
        buffer = io.BytesIO()
        sha256 = write_payload(arrays, buffer)
        text = base64.b64encode(buffer.getvalue()).decode("ascii")
        return {
            "kind": "inline",
            "format": "safetensors",
            "size": len(buffer.getvalue()),
            "sha256": sha256,
            "base64": text,
        }
    with _temporary(path) as (temporary, file):
        sha256 = write_payload(arrays, file)
        size = file.tell()
        name = f"{path.stem}-{sha256[:12]}.safetensors"
        _sync(file)
        temporary.replace(path.with_name(name))
    return {"kind": "file", "format": "safetensors", "size": size, "sha256": sha256, "path": name}


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of an older one once it is complete and on disk."""
    with _temporary(path) as (temporary, file):
        yield file
        _sync(file)
        temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _temporary(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file next to `path`, which is removed unless it was renamed."""
    temporary = path.with_name(f".{path.stem[:60]}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            yield temporary, file
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
