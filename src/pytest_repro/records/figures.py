"""Figures and 64 bit patterns of an array, which a manifest has for its readers next to the digest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pytest_repro.capturing.digesting import iterate_blocks
from pytest_repro.model import JSON, Leaf
from pytest_repro.numerics.kinds import find_kind
from pytest_repro.records.canonical import as_document

SAMPLES = 64
_BLOCK = 65536


def sample_places(size: int) -> list[int]:
    """Return at most 64 flat indices (C order), spread evenly from the first element to the last."""
    if size <= SAMPLES:
        return list(range(size))
    return [i * (size - 1) // (SAMPLES - 1) for i in range(SAMPLES)]


def sample_bits(leaf: Leaf) -> list[str]:
    """Return the bit patterns at :func:`sample_places`, most significant byte first, in hex."""
    data = leaf.data
    places = sample_places(data.size)
    if not places or not data.dtype.itemsize:
        return []
    chosen = data[np.unravel_index(np.array(places), data.shape)] if data.ndim else data.reshape(1)
    raw = b"".join(bytes(block) for block in iterate_blocks(chosen, little_endian=True))
    width = data.dtype.itemsize
    part = width // 2 if data.dtype.kind == "c" else width
    # Text has no most significant byte; each part of a complex number has one.
    step = -1 if data.dtype.kind in "biufcmM" else 1
    parts = [raw[i : i + part][::step].hex() for i in range(0, len(raw), part)]
    return parts if part == width else [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]


def describe_array(leaf: Leaf) -> dict[str, JSON]:
    """Return count, NaN and infinities, minimum, maximum, mean and standard deviation of the finite elements.

    Floats are ``float.hex()``. Elements without an order (complex, text) have only a count. Mean and deviation are
    summed in float64, block by block, for a reader: no verdict depends on them.
    """
    data = leaf.data
    figures: dict[str, JSON] = {"count": int(data.size)}
    values_of = _reader(leaf)
    if values_of is None or not data.size:
        return figures
    nan = inf = count = 0
    shift: float | None = None
    least, largest, total, squares = math.inf, -math.inf, 0.0, 0.0
    for block in _iterate(data):
        values = values_of(block)
        finite = values[np.isfinite(values)]
        count += finite.size
        if finite.size < values.size:
            nan += int(np.isnan(values).sum())
            inf += int(np.isinf(values).sum())
        if finite.size:
            least, largest = min(least, float(finite.min())), max(largest, float(finite.max()))
            # Shifted, so that a small spread around a large mean does not cancel.
            shift = float(finite[0]) if shift is None else shift
            with np.errstate(over="ignore", invalid="ignore"):
                total += float((finite - shift).sum())
                squares += float(np.square(finite - shift).sum())
    figures |= {"nan": nan, "inf": inf}
    if shift is not None:
        mean = total / count
        variance = max(0.0, squares / count - mean * mean) if math.isfinite(squares) else math.inf
        ordered = {"min": least, "max": largest, "mean": shift + mean, "std": math.sqrt(variance)}
        figures |= {name: as_document(value) for name, value in ordered.items()}
    return figures


def _reader(leaf: Leaf) -> Any:
    """Return the conversion of a block to float64, or None if the elements are not real numbers."""
    if leaf.data.dtype.kind not in "biuf":
        return None
    kind = find_kind(leaf.dtype, leaf.data.dtype.newbyteorder("="))
    if leaf.data.dtype.kind in "bf":
        return lambda block: block.astype(np.float64)

    def read(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        values = kind.values(block.view(kind.storage)) if kind.storage.itemsize == block.itemsize else None
        with np.errstate(over="ignore"):
            return np.asarray(block if values is None else values).astype(np.float64)

    return read


def _iterate(data: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    stored = data.dtype.newbyteorder("<")
    for part in iterate_blocks(data, little_endian=True):
        block = np.frombuffer(part, stored).astype(stored.newbyteorder("="), copy=False)
        yield from (block[i : i + _BLOCK] for i in range(0, block.size, _BLOCK))
