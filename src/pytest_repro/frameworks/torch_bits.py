"""The bytes of plain torch tensors on the CPU, compared where they lie."""

from __future__ import annotations

from typing import Any

import torch

from pytest_repro.numerics.blocks import same_memory

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)
#: Up to here bytes are compared at once; a larger tensor is better read once only, by the kernel that measures it.
_SMALL_BYTES = 64 * 1024


def count_if_equal(actual: Any, expected: Any) -> int | None:
    """Return the number of elements of two small tensors that are equal in every bit and of one make.

    None if they differ, or if only a closer look can tell: another layout, device or class, lazy conjugation, large
    or strided memory.
    """
    if type(actual) not in _PLAIN_TYPES or type(actual) is not type(expected):
        return None
    if actual.dtype is not expected.dtype or actual.shape != expected.shape:
        return None
    if actual.requires_grad != expected.requires_grad:
        return None
    if not (_is_plain(actual) and _is_plain(expected)):
        return None
    count: int = actual.numel()
    size = count * actual.element_size()
    try:
        is_equal = size <= _SMALL_BYTES and same_memory(actual.data_ptr(), expected.data_ptr(), size)
    except RuntimeError:  # a wrapper of a transform such as vmap has no memory of its own
        return None
    return count if is_equal else None


def _is_plain(tensor: Any) -> bool:
    return bool(
        tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not (tensor.is_quantized or tensor.is_nested or tensor.is_conj() or tensor.is_neg())
    )
