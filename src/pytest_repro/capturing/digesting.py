"""Bytes of arrays in C order, and the digest of all artifacts of a run."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pytest_repro.frameworks.base_values import SCALAR_ENCODERS
from pytest_repro.model import Artifacts, Leaf
from pytest_repro.numerics.sharing import drop_constant_axes
from pytest_repro.undisturbed import undisturbed

BLOCK_BYTES = 1 << 20
#: x87 long doubles have 10 bytes in 16; the other 6 are arbitrary.
_LONGDOUBLE_USED = 10 if np.finfo(np.longdouble).nmant == 63 else None
_FORMAT = b"pytest-repro artifacts 1\n"
_FORMAT_OF_ALL = b"pytest-repro digests of artifacts 1\n"


@undisturbed
def digest(artifacts: Artifacts) -> str:
    """Digest paths, types, dtypes, shapes, traits and bits of all artifacts.

    Two runs have equal digests exactly if comparing them bit for bit finds no difference.

    Returns
    -------
    str
        ``sha256:<hex>``; independent of memory layout, of the host's byte order, and of the order of keys.

    Notes
    -----
    It is the digest of the digests of the single artifacts, so that whoever has those can check it without the
    artifacts. Every part is preceded by its length, so that no two sets of artifacts result in the same bytes.
    """
    return digest_parts({path: f"sha256:{digest_leaves({path: leaf})}" for path, leaf in artifacts.leaves.items()})


def digest_parts(digests: Mapping[str, str]) -> str:
    """Return the digest of all artifacts from the digest of each, ``sha256:<hex>``, by its path."""
    hasher = hashlib.sha256(_FORMAT_OF_ALL)
    for _, part in sorted(digests.items()):  # each covers its path
        hasher.update(bytes.fromhex(part.removeprefix("sha256:")))
    return f"sha256:{hasher.hexdigest()}"


def digest_leaves(leaves: Mapping[str, Leaf]) -> str:
    """Digest leaves by path, as hex digits alone."""
    hasher = hashlib.sha256(_FORMAT)
    for path, leaf in sorted(leaves.items()):
        value = b"" if leaf.form == "array" else _encode(leaf.data)
        hasher.update(_frame(path, leaf, leaf.data.nbytes if leaf.form == "array" else len(value)))
        if leaf.form == "array":
            part = drop_constant_axes(leaf.data)
            if part is not leaf.data:
                hasher.update(b"constant along axes: %s\n" % str(part.shape).encode())
            for block in iterate_blocks(part, little_endian=True):
                hasher.update(block)
        else:
            hasher.update(value)
    return hasher.hexdigest()


def _encode(value: Any) -> bytes:
    for kind, encode in SCALAR_ENCODERS.items():
        if isinstance(value, kind):
            return encode(value)
    raise TypeError(f"a value leaf holds {type(value).__name__}, which has no encoding")


def _frame(path: str, leaf: Leaf, length: int) -> bytes:
    texts = [path, leaf.form, leaf.type_name, leaf.dtype, ",".join(map(str, leaf.shape))]
    texts += [text for trait in sorted(leaf.traits) for text in trait]
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return struct.pack(f"<{len(parts) + 2}Q", len(parts), length, *map(len, parts)) + b"".join(parts)


def iterate_blocks(data: np.ndarray[Any, Any], *, little_endian: bool = False) -> Iterator[memoryview]:
    """Yield the elements' bytes in C order, whatever the array's strides.

    Parameters
    ----------
    data : ndarray, shape (*s), any dtype without objects or fields
        Read only.
    little_endian : bool
        Convert to little-endian. Otherwise the array's own byte order is kept.

    Yields
    ------
    memoryview
        At most `BLOCK_BYTES`, or a complete contiguous array without a copy.
        Valid until the next one is requested.

    Notes
    -----
    Padding in a long double is zero.
    """
    if not data.size or not data.dtype.itemsize:
        return
    has_padding = data.dtype.char in "gG" and _LONGDOUBLE_USED is not None
    target = data.dtype.newbyteorder("<") if little_endian else data.dtype
    if data.flags.c_contiguous and not has_padding and target == data.dtype:
        yield data.reshape(-1).view(np.uint8).data
        return
    for block in _iterate_copies(data, target):
        raw = block.view(np.uint8)
        if has_padding:
            raw = _zero_padding(raw, swapped=not target.isnative)
        yield raw.data


def _iterate_copies(data: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> Iterator[np.ndarray[Any, Any]]:
    count = max(1, BLOCK_BYTES // data.dtype.itemsize)
    with np.nditer(
        [data],
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=[["readonly"]],
        op_dtypes=[dtype],
        order="C",
        casting="equiv",
        buffersize=count,
    ) as blocks:
        for block in blocks:
            yield np.ascontiguousarray(block)


def _zero_padding(raw: np.ndarray[Any, Any], *, swapped: bool) -> np.ndarray[Any, Any]:
    parts = raw.reshape(-1, np.dtype(np.longdouble).itemsize).copy()
    if swapped:
        parts[:, :-_LONGDOUBLE_USED] = 0  # type: ignore[operator]
    else:
        parts[:, _LONGDOUBLE_USED:] = 0
    return parts.reshape(-1)
