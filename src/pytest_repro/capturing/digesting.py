"""One digest for all that a run gave: equal exactly where a comparison would find nothing."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_repro.capturing.blocks import iterate_blocks
from pytest_repro.model import Artifacts, Leaf

_FORMAT = b"pytest-repro artifacts 1\n"


def digest(artifacts: Artifacts) -> str:
    """Digest paths, types, dtypes, shapes, traits and bits of all artifacts.

    Returns
    -------
    str
        ``sha256:<hex>``; independent of memory layout, of the host's byte order, and of the order of keys.

    Notes
    -----
    Every part is preceded by its length, so that no two sets of artifacts give one stream of bytes.
    """
    return f"sha256:{digest_leaves(artifacts.leaves)}"


def digest_leaves(leaves: Mapping[str, Leaf]) -> str:
    """Digest leaves by path; the hex digits alone."""
    hasher = hashlib.sha256(_FORMAT)
    for path, leaf in sorted(leaves.items()):
        hasher.update(_frame(path, leaf))
        for block in _iterate_bytes(leaf):
            hasher.update(block)
    return hasher.hexdigest()


def _frame(path: str, leaf: Leaf) -> bytes:
    texts = [path, leaf.form, leaf.type_name, leaf.dtype, ",".join(map(str, leaf.shape))]
    texts += [text for trait in sorted(leaf.traits) for text in trait]
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    length = leaf.data.nbytes if leaf.form == "array" else len(_encode_value(leaf.data))
    return struct.pack(f"<{len(parts) + 2}Q", len(parts), length, *map(len, parts)) + b"".join(parts)


def _iterate_bytes(leaf: Leaf) -> Iterator[Any]:
    if leaf.form == "array":
        yield from iterate_blocks(leaf.data, little_endian=True)
    else:
        yield _encode_value(leaf.data)


def _encode_value(value: Any) -> bytes:
    """Encode a Python value by its kind and bits; 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"b1" if value else b"b0"
    if isinstance(value, int):
        return b"i" + hex(value).encode()
    if isinstance(value, float):
        return b"f" + struct.pack("<d", value)
    if isinstance(value, complex):
        return b"c" + struct.pack("<2d", value.real, value.imag)
    if isinstance(value, str):
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"y" + value
    raise TypeError(f"a value leaf holds {type(value).__name__}, which has no encoding")
