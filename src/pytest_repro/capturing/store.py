"""Artifacts in a directory that another process reads: a JSON manifest and one file of raw bytes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pytest_repro.capturing.digesting import iterate_blocks
from pytest_repro.capturing.manifest import decode_leaf, decode_not_compared, encode_leaf, encode_not_compared, is_count
from pytest_repro.capturing.tree import MAX_LEAVES
from pytest_repro.errors import CaptureError, StoreError
from pytest_repro.model import Artifacts
from pytest_repro.model.reading import opened, parse_json, read_file
from pytest_repro.numerics.sharing import held_part

MANIFEST = "manifest.json"
_FORMAT = "pytest-repro artifacts"
_VERSION = 2
#: Size of a cache line, and a multiple of every vector register: mapped arrays are read as fast as allocated ones.
_ALIGNMENT = 64
#: A leaf takes some 250 bytes, so a larger file is not one of our manifests.
_MAX_MANIFEST_BYTES = 400 * MAX_LEAVES


def write_artifacts(artifacts: Artifacts, directory: str | os.PathLike[str]) -> None:
    """Write artifacts to a directory, which is created if necessary.

    The manifest is written last and renamed, so that a reader finds all of it or nothing.

    Raises
    ------
    CaptureError
        If the disk is full or the directory cannot be written.
    """
    target = Path(directory)
    token = os.urandom(8).hex()
    data, unfinished = target / f"arrays-{token}.bin", target / f"{MANIFEST}.{token}"
    try:
        _make_empty(target)
        entries, size = _write_data(artifacts, data)
        manifest = {
            "format": _FORMAT,
            "version": _VERSION,
            "data": data.name,
            "size": size,
            "leaves": entries,
            "not_compared": [encode_not_compared(value) for value in artifacts.not_compared],
        }
        unfinished.write_bytes(json.dumps(manifest, ensure_ascii=True, separators=(",", ":")).encode())
        unfinished.replace(target / MANIFEST)
    except BaseException as error:
        for partial in (data, unfinished):
            with contextlib.suppress(OSError):
                partial.unlink()
        if not isinstance(error, OSError):
            raise
        raise CaptureError(
            f"cannot write artifacts to {target}: {error}; free space there, or use another directory"
        ) from error


def _make_empty(target: Path) -> None:
    """Create a directory, or remove an earlier store from it: first the manifest, then its data."""
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        (target / MANIFEST).unlink(missing_ok=True)
        for stale in target.glob("arrays-*.bin"):
            stale.unlink()


def _write_data(artifacts: Artifacts, path: Path) -> tuple[list[dict[str, Any]], int]:
    entries = []
    with path.open("wb") as file:
        for name, leaf in artifacts.leaves.items():
            entry = encode_leaf(name, leaf)
            if leaf.form == "array":
                part = held_part(leaf.data)
                if part.shape != leaf.data.shape:
                    entry["held"] = list(part.shape)
                entry["offset"], entry["length"] = _write_array(file, part)
            entries.append(entry)
        return entries, file.tell()


def _write_array(file: BinaryIO, array: np.ndarray[Any, Any]) -> tuple[int, int]:
    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
    start = file.tell()
    for block in iterate_blocks(array):
        file.write(block)
    return start, file.tell() - start


def read_artifacts(directory: str | os.PathLike[str]) -> Artifacts:
    """Read the artifacts that :func:`write_artifacts` wrote, with arrays mapped from the file, read-only.

    Raises
    ------
    StoreError
        If anything is missing, truncated or invalid. Nothing of a bad store is returned.
    """
    source = Path(directory)
    manifest = _read_manifest(source / MANIFEST)
    arrays = _ArrayReader(_map_data(source, manifest["data"], manifest["size"]))
    artifacts = Artifacts()
    for number, entry in enumerate(manifest["leaves"], start=1):
        try:
            path, leaf = decode_leaf(entry, arrays.read)
        except StoreError as error:
            raise StoreError(f"{source / MANIFEST}: entry {number}: {error}") from None
        if path in artifacts.leaves:
            raise StoreError(f"{source / MANIFEST}: the path {path!r} is there twice")
        artifacts.leaves[path] = leaf
    artifacts.not_compared = [decode_not_compared(entry) for entry in manifest["not_compared"]]
    return artifacts


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        data = read_file(path, max_bytes=_MAX_MANIFEST_BYTES)
        manifest = parse_json(data, max_bytes=_MAX_MANIFEST_BYTES, max_values=_MAX_MANIFEST_BYTES // 4)
    except OSError as error:
        raise StoreError(f"no artifacts in {path.parent}: {error}") from None
    except StoreError as error:
        raise StoreError(f"{path} is not a manifest: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise StoreError(f"{path} is not a manifest of artifacts")
    if type(manifest.get("version")) is not int or manifest["version"] != _VERSION:
        raise StoreError(f"{path} has version {manifest.get('version')!r}; this release reads version {_VERSION}")
    if set(manifest) != {"format", "version", "data", "size", "leaves", "not_compared"}:
        raise StoreError(f"{path} has the keys {sorted(manifest)}, not those of version {_VERSION}")
    if not all(isinstance(manifest[key], list) for key in ("leaves", "not_compared")) or not is_count(manifest["size"]):
        raise StoreError(f"{path}: `leaves` and `not_compared` must be lists and `size` an integer >= 0")
    for key in ("leaves", "not_compared"):
        if len(manifest[key]) > MAX_LEAVES:
            raise StoreError(f"{path} has {len(manifest[key]):,} `{key}`; at most {MAX_LEAVES:,} are read")
    return manifest


def _map_data(source: Path, name: Any, size: int) -> np.ndarray[Any, Any]:
    if not isinstance(name, str) or Path(name).name != name or not name.startswith("arrays-"):
        raise StoreError(f"{source / MANIFEST}: {name!r} is not the name of a data file in this directory")
    path = source / name
    try:
        # Mapped, unlike a record: the process that wrote it has ended, and is one of this session's own.
        with opened(path, max_bytes=sys.maxsize) as file:
            if file.size_bytes != size:
                found = f"{file.size_bytes:,} bytes, the manifest says {size:,}"
                raise StoreError(f"it has {found}: truncated or replaced")
            return np.frombuffer(file.map(), np.uint8) if size else np.empty(0, np.uint8)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}") from None
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None


class _ArrayReader:
    """Reader of arrays in the order in which they were written. Each must end before the next begins."""

    def __init__(self, data: np.ndarray[Any, Any]) -> None:
        self._data = data
        self._end = 0

    def read(self, entry: dict[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """View one array in the file."""
        offset, length = entry["offset"], entry["length"]
        if not is_count(offset) or not is_count(length) or offset % _ALIGNMENT:
            raise StoreError(f"offset {offset!r} and length {length!r} are not an aligned place in the file")
        if offset < self._end or offset + length > len(self._data):
            raise StoreError(f"bytes {offset:,} to {offset + length:,} overlap others or exceed {len(self._data):,}")
        held = tuple(entry.get("held", shape))
        if not all(map(is_count, held)) or not all(n in (1, m) for n, m in zip(held, shape, strict=True)):
            raise StoreError(f"an array of shape {list(shape)} cannot be held as {list(held)}")
        size = math.prod(held) * dtype.itemsize
        if size != length:
            raise StoreError(f"shape {list(held)} of {dtype.str} needs {size:,} bytes, not {length:,}")
        self._end = offset + length
        try:
            if not length:
                return np.broadcast_to(np.zeros((), dtype), shape)
            array = self._data[offset : offset + length].view(dtype).reshape(held)
            return array if held == shape else np.broadcast_to(array, shape)
        except ValueError as error:
            raise StoreError(f"shape {list(shape)} of {dtype.str} is impossible: {error}") from None
