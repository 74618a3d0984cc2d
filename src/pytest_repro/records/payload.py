"""Tensors in a safetensors file, written and read block by block, and readable by the safetensors library.

The format is small: a length, a JSON header, the bytes. docs/adr/0036 has the cases that the library cannot serve.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pytest_repro.capturing.digesting import iterate_blocks
from pytest_repro.errors import StoreError
from pytest_repro.model.free_memory import read_free_kib
from pytest_repro.model.reading import opened
from pytest_repro.records.canonical import MAX_ARTIFACTS, parse_object

Array = np.ndarray[Any, Any]

#: NumPy's little-endian dtypes that safetensors has a name for. All others are bytes: U8 of shape (*s, itemsize).
NAMES = {
    "|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<u2": "U16", "<i2": "I16", "<u4": "U32", "<i4": "I32", "<u8": "U64",
    "<i8": "I64", "<f2": "F16", "<f4": "F32", "<f8": "F64",
}  # fmt: skip
_ITEM_BYTES = {name: np.dtype(dtype).itemsize for dtype, name in NAMES.items()}
#: The library's own limit.
MAX_HEADER_BYTES = 100_000_000
#: A payload is read into memory.
MAX_PAYLOAD_BYTES = 64 * 2**30
MAX_DIMENSIONS = 65
_RESERVED = "__metadata__"


def write_payload(arrays: Mapping[str, Array], file: BinaryIO) -> str:
    """Write arrays in safetensors' format: equal arrays give equal bytes.

    Returns
    -------
    str
        The file's sha256, in hex.

    Raises
    ------
    OSError
        If the disk is full.
    """
    ordered = sorted(arrays.items(), key=lambda item: (-_described(item[1])[2], item[0]))
    header, start = {}, 0
    for name, array in ordered:
        if name == _RESERVED:
            raise StoreError(f"a tensor cannot have the name {_RESERVED!r}")
        kind, shape, _ = _described(array)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    hasher = hashlib.sha256()
    for block in (len(text).to_bytes(8, "little"), text):
        hasher.update(block)
        file.write(block)
    for _, array in ordered:
        for part in iterate_blocks(array, little_endian=True):
            hasher.update(part)
            file.write(part)
    return hasher.hexdigest()


def _described(array: Array) -> tuple[str, list[int], int]:
    """Return safetensors' dtype, the shape under it, and the bytes of an element."""
    dtype = array.dtype.newbyteorder("<")
    name = NAMES.get(dtype.str)
    if name is not None:
        return name, list(array.shape), dtype.itemsize
    return "U8", [*array.shape, dtype.itemsize], 1


def read_payload(path: Path, *, sha256: str, size: int) -> Tensors:
    """Read a payload that is not trusted, whole and once: what is used is what was digested.

    Not mapped: a file that another program cuts short would end this process when its tensors are read.

    Raises
    ------
    StoreError
        If it is no regular file, has another size or digest than the record says, or is not a safetensors file.
    OSError
        If it cannot be read.
    """
    mismatch = StoreError("it does not match the digest in the record: damaged, cut short or replaced")
    hasher = hashlib.sha256()
    with opened(path, max_bytes=MAX_PAYLOAD_BYTES, advice="record fewer or smaller arrays in one test") as file:
        if file.size_bytes != size:
            raise mismatch
        # A file with holes claims any size, and costs its maker nothing.
        if (free_kib := read_free_kib()) is not None and size > free_kib * 1024:
            raise StoreError(f"its {size:,} bytes do not fit into the {free_kib * 1024:,} bytes of free memory")
        data = np.empty(size, np.uint8)
        file.read_into(data.data, hasher.update)
    if hasher.hexdigest() != sha256:
        raise mismatch
    return Tensors(data, "its payload")


class Tensors:
    """The tensors of one payload that is not trusted.

    Parameters
    ----------
    data : ndarray of uint8, shape (n,)
    where : str
        For messages.

    Raises
    ------
    StoreError
        If it is not a safetensors file, or its header does not match its size.
    """

    def __init__(self, data: Array, where: str) -> None:
        self._where = where
        length = int.from_bytes(data[:8].tobytes(), "little")
        if len(data) < 8 or length > len(data) - 8:
            raise StoreError(f"{where} is not a safetensors file, or was cut short: {len(data):,} bytes")
        if length > MAX_HEADER_BYTES:
            raise StoreError(f"{where} has a header of {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
        self._data = data[8 + length :]
        self._entries = self._check(_parse_header(data[8 : 8 + length].tobytes(), where))

    @property
    def names(self) -> set[str]:
        """Names of the tensors."""
        return set(self._entries)

    def _check(self, header: dict[str, Any]) -> dict[str, tuple[str, list[int], int, int]]:
        entries = {}
        for name, entry in header.items():
            try:
                kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
                is_sound = set(entry) == {"dtype", "shape", "data_offsets"} and kind in _ITEM_BYTES
                counts = [*shape, start, end]
                is_sound &= isinstance(shape, list) and all(type(n) is int and n >= 0 for n in counts)
            except (KeyError, TypeError, ValueError):
                is_sound = False
            if not is_sound or len(shape) > MAX_DIMENSIONS:
                raise StoreError(f"{self._where}: the header's entry of {name[:60]!r} is malformed")
            if end - start != math.prod(shape) * _ITEM_BYTES[kind]:
                raise StoreError(f"{self._where}: {name[:60]!r} has shape {shape} of {kind}, but {end - start:,} bytes")
            entries[name] = (kind, shape, start, end)
        position = 0
        for _, _, start, end in sorted(entries.values(), key=lambda entry: entry[2:]):
            if start != position:
                raise StoreError(f"{self._where}: tensors overlap or leave a gap at byte {position:,}")
            position = end
        if position != len(self._data):
            raise StoreError(f"{self._where} has {len(self._data):,} bytes of tensors, its header says {position:,}")
        return entries

    def read(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """View a tensor as little-endian `dtype` and `shape`, read-only.

        Raises
        ------
        StoreError
            If the payload has no such tensor.
        """
        if name not in self._entries:
            raise StoreError(f"{self._where} has no tensor {name[:60]!r}")
        kind, stored, start, end = self._entries[name]
        target = dtype.newbyteorder("<")
        expected = (NAMES[target.str], list(shape)) if target.str in NAMES else ("U8", [*shape, target.itemsize])
        if (kind, stored) != expected:
            raise StoreError(f"{self._where}: {name[:60]!r} is {kind} {stored}, the manifest says {expected}")
        try:
            if start == end:
                return np.broadcast_to(np.zeros((), target), shape)
            array: Array = self._data[start:end].view(target).reshape(shape)
        except ValueError as error:
            raise StoreError(
                f"{self._where}: {name[:60]!r} cannot be viewed as {target.str} of shape {list(shape)}: {error}"
            ) from None
        array.flags.writeable = False
        return array


def _parse_header(data: bytes, where: str) -> dict[str, Any]:
    header = parse_object(data, f"{where}: the header")
    header.pop(_RESERVED, None)
    if len(header) > MAX_ARTIFACTS:
        raise StoreError(f"{where} has {len(header):,} tensors; at most {MAX_ARTIFACTS:,} are read")
    return header
