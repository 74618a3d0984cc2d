"""Comparison of tensors on their device, in chunks, with the figures of `numerics.compare_arrays`.

If few elements differ, they are copied to the host and measured by the code for arrays. If many do, they are measured
on the device. Chunks of other dtypes than real floats are copied to the host.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance
from pytest_repro.numerics.blocks import same_memory
from pytest_repro.numerics.formats import WIDE_FORMATS
from pytest_repro.numerics.kinds import Kind, kind_of
from pytest_repro.numerics.statistics import ArrayStatistics, Tally

#: Elements of a chunk on the device, whose buffers take some 40 bytes per element.
CHUNK_ELEMENTS = 4 * 1024 * 1024
#: Largest number of differing elements of a chunk that are copied to the host rather than measured on the device.
FETCHED_ELEMENTS = 64 * 1024

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)
#: For tensors up to this size bytes are compared directly. A larger one is read only once by the code that measures it.
_SMALL_BYTES = 64 * 1024
_LOWEST = -(2**63)
_CODES = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def count_if_equal(actual: Any, expected: Any) -> int | None:
    """Return the number of elements of two small tensors of one type that are equal in every bit.

    The result is None if they differ, or if a simple comparison of bytes is not enough: another layout, device or
    class, lazy conjugation, large or strided memory.
    """
    if type(actual) not in _PLAIN_TYPES or type(actual) is not type(expected):
        return None
    if actual.dtype is not expected.dtype or actual.shape != expected.shape:
        return None
    if actual.requires_grad != expected.requires_grad:
        return None
    if not (_is_plain(actual) and _is_plain(expected)):
        return None
    if any(vars(side) or (side.is_leaf and side.grad is not None) for side in (actual, expected)):
        return None
    count: int = actual.numel()
    size = count * actual.element_size()
    try:
        is_equal = size <= _SMALL_BYTES and same_memory(actual.data_ptr(), expected.data_ptr(), size)
    except RuntimeError:  # inside a transform such as vmap a tensor has no memory of its own
        return None
    return count if is_equal else None


def _is_plain(tensor: Any) -> bool:
    return bool(
        tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not (tensor.is_quantized or tensor.is_nested or tensor.is_conj() or tensor.is_neg())
    )


def compare_tensors(
    actual: Any, expected: Any, *, dtype: str, bound: Tolerance, chunk_elements: int = CHUNK_ELEMENTS
) -> ArrayStatistics:
    """Compare two tensors of one device, shape and dtype, and measure the differences.

    Parameters
    ----------
    actual, expected : Tensor, shape (*s)
        Strided. Never written to.
    dtype : str
        Logical dtype, without torch's prefix.
    bound : Tolerance
    chunk_elements : int
        Elements compared at a time.

    Returns
    -------
    ArrayStatistics
        The figures of :func:`pytest_repro.numerics.compare_arrays`, with `norm_rel` and `max_rel` equal up to rounding.

    Raises
    ------
    UsageError
        If the tensors are not on one device, or differ in shape or dtype.
    """
    if actual.device != expected.device or actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise UsageError("compare_tensors needs one device, shape and dtype")
    actual, expected = (t.detach().resolve_conj().resolve_neg() for t in (actual, expected))
    tally = Tally(kind_of(dtype, _storage_of(actual)), bound)
    with torch.no_grad(), np.errstate(all="ignore"):
        for start in range(0, actual.numel(), chunk_elements):
            left, right = (_chunk(t, start, chunk_elements) for t in (actual, expected))
            _add_chunk(tally, start, left, right)
        if tally.differing:
            for start in range(0, expected.numel(), chunk_elements):
                _add_norm(tally, _chunk(expected, start, chunk_elements))
    return tally.finish(tuple(actual.shape))


def _storage_of(tensor: Any) -> np.dtype[Any]:
    if tensor.dtype.is_complex:
        return np.dtype(f"c{tensor.element_size()}")
    return np.dtype(f"u{tensor.element_size()}")


def _chunk(tensor: Any, start: int, size: int) -> Any:
    """Return a flat chunk in C order, copied on the device only if the strides require it."""
    if tensor.is_contiguous():
        return tensor.view(-1)[start : start + size]
    shape = tuple(tensor.shape)
    flat = torch.arange(start, min(start + size, tensor.numel()), device=tensor.device)
    return tensor[torch.unravel_index(flat, shape)] if shape else tensor.reshape(1)


def _codes(chunk: Any) -> Any:
    """Return a chunk's bits as integers, with the parts of complex numbers in a last axis."""
    if chunk.dtype.is_complex:
        parts = torch.view_as_real(chunk)
        return parts.view(_CODES[parts.element_size()])
    return chunk.view(_CODES[chunk.element_size()])


def _add_chunk(tally: Tally, start: int, actual: Any, expected: Any) -> None:
    left, right = _codes(actual), _codes(expected)
    unequal = left != right
    if unequal.ndim > 1:
        unequal = unequal.any(dim=1)
    count = int(unequal.sum())
    if not count:
        return
    is_dense = count > FETCHED_ELEMENTS and _can_measure_on_device(actual)
    if is_dense and _add_on_device(tally, start, actual, expected, unequal):
        return
    places = unequal.nonzero().reshape(-1)
    for i in range(0, count, FETCHED_ELEMENTS):
        some = places[i : i + FETCHED_ELEMENTS]
        sides = (_fetch(side[some], tally.kind) for side in (actual, expected))
        tally.add_differing(start, some.cpu().numpy(), *sides)


def _fetch(elements: Any, kind: Kind) -> Any:
    """Copy a few elements to the host, in the form that the code for arrays reads."""
    return _codes(elements).cpu().contiguous().numpy().reshape(-1).view(kind.storage)


def _can_measure_on_device(chunk: Any) -> bool:
    """Return whether a chunk can be measured on its device: real floats, on a device with float64 (unlike MPS)."""
    return str(chunk.dtype).removeprefix("torch.") in WIDE_FORMATS and chunk.device.type != "mps"


def _add_norm(tally: Tally, chunk: Any) -> None:
    if not tally.kind.scales:
        return
    if not _can_measure_on_device(chunk):
        for i in range(0, chunk.numel(), FETCHED_ELEMENTS):
            tally.add_expected(_fetch(chunk[i : i + FETCHED_ELEMENTS], tally.kind))
        return
    values = chunk.double()
    values = values[values.isfinite()]
    _add_squares(tally.expected_squares, values)
    if tally.bound.norm is not None and values.numel():
        tally.max_expected = max(tally.max_expected, float(values.abs().max()))


def _add_squares(squares: Any, values: Any) -> None:
    largest = float(values.abs().max()) if values.numel() else 0.0
    if largest:
        exponent = math.frexp(largest)[1]
        half = exponent // 2  # 2.0**-exponent would overflow if all values are subnormal
        scaled = values * 2.0**-half * 2.0 ** -(exponent - half)
        squares.add(float((scaled * scaled).sum()), exponent)


def _add_on_device(tally: Tally, start: int, actual: Any, expected: Any, unequal: Any) -> bool:
    """Measure a chunk with many differences and return True, or False with the tally unchanged if it is not finite."""
    wide_actual, wide_expected = actual.double(), expected.double()
    sizes = (wide_actual - wide_expected).abs()
    if not bool(sizes.isfinite().all()):
        return False  # a NaN, an infinity or an overflow, which the host handles
    steps = _distance(_ordered(_codes(actual)), _ordered(_codes(expected)))
    allowed = _admits(tally.bound, steps, sizes, wide_expected)
    count = int(unequal.sum())
    tally.differing += count
    tally.over += count - int((allowed & unequal).sum())
    if tally.first is None:
        tally.first = start + int(unequal.int().argmax())
    shifted = steps ^ _LOWEST  # in the order of the unsigned steps
    place = int(shifted.argmax())
    largest = int(steps[place]) & (2**64 - 1)
    tally.note_worst(largest, start + place)
    tally.add_histogram(_bit_lengths(shifted, largest, unequal))
    tally.max_abs = max(tally.max_abs, float(sizes.max()))
    ratios = (sizes / wide_expected.abs())[unequal].nan_to_num(nan=0.0, posinf=math.inf)
    tally.max_rel = max(tally.max_rel, float(ratios.max()))
    _add_squares(tally.difference_squares, sizes)
    return True


def _ordered(codes: Any) -> Any:
    """Map IEEE codes to int64 in the order of the numbers, both zeros to 0."""
    top = 2 ** (8 * codes.element_size() - 1) - 1
    wide = codes.long()
    return torch.where(wide < 0, -(wide & top), wide)


def _distance(left: Any, right: Any) -> Any:
    """Return unsigned distances in the bits of int64, as the wrapped difference of the larger and the smaller code."""
    return torch.maximum(left, right) - torch.minimum(left, right)


def _admits(bound: Tolerance, steps: Any, sizes: Any, expected: Any) -> Any:
    admitted = torch.zeros(steps.shape, dtype=torch.bool, device=steps.device)
    if bound.max_ulp:
        admitted |= (steps ^ _LOWEST) <= (min(bound.max_ulp, 2**64 - 1) + _LOWEST)
    if bound.rtol or bound.atol:
        admitted |= sizes <= bound.atol + bound.rtol * expected.abs()
    return admitted


def _bit_lengths(shifted: Any, largest: int, unequal: Any) -> Any:
    """Count the differing elements by the bit length of their steps, given as steps - 2**63."""
    at_least = [int(unequal.sum())]
    at_least += [int((shifted >= (1 << k) + _LOWEST).sum()) for k in range(largest.bit_length())]
    at_least.append(0)
    return np.array([at_least[k] - at_least[k + 1] for k in range(len(at_least) - 1)], np.int64)
