"""An array's bytes in C order, a block at a time, whatever its strides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

BLOCK_BYTES = 1 << 20

#: x87 long doubles hold 10 bytes in 16; the other 6 are whatever was in memory.
_LONGDOUBLE_USED = 10 if np.finfo(np.longdouble).nmant == 63 else None


def iterate_blocks(data: np.ndarray[Any, Any], *, little_endian: bool = False) -> Iterator[memoryview]:
    """Yield the elements' bytes in C order.

    Parameters
    ----------
    data : ndarray, shape (*s), any dtype without objects or fields
        Read only.
    little_endian : bool
        Convert to little-endian; otherwise the array's own byte order is kept.

    Yields
    ------
    memoryview
        At most `BLOCK_BYTES`, or the whole of a contiguous array, without a copy.
        Valid until the next one is asked for.

    Notes
    -----
    Padding in a long double is told as zero.
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
