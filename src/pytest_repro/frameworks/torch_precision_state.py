"""torch's float32 precision (TF32 and similar), read and restored through two interfaces that may conflict.

Since 2.9 each operation of each backend has its own ``fp32_precision``. The older settings (``allow_tf32``,
``set_float32_matmul_precision``) are views of it that raise RuntimeError if operations have different values.
Therefore the values are read per operation, the older ones are saved only if they can be read, and the older ones are
written first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from pytest_repro.frameworks.base_state import Flag, Request

_PER_OPERATION = hasattr(torch._C, "_get_fp32_precision_getter")

#: Backend and operation, each after the one it inherits from.
_OPERATIONS = (
    *(("generic", "all"), ("cuda", "all"), ("mkldnn", "all")),
    *((backend, operation) for backend in ("cuda", "mkldnn") for operation in ("matmul", "conv", "rnn")),
)
_PARENTS = _OPERATIONS[:3]

_FULL_PRECISION = ("ieee", "none")

#: The older settings: name in a report -> (getter, setter).
_SWITCHES: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "cudnn.allow_tf32": (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda value: setattr(torch.backends.cudnn, "allow_tf32", value),
    ),
    "cuda.matmul.allow_tf32": (
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda value: setattr(torch.backends.cuda.matmul, "allow_tf32", value),
    ),
    "float32_matmul_precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
}
_SWITCHES_OFF = {"cudnn.allow_tf32": False, "cuda.matmul.allow_tf32": False, "float32_matmul_precision": "highest"}


def read_precision() -> dict[str, Any]:
    """Return the precision of every operation, and the older settings, as ``"mixed"`` if torch raises an error."""
    found: dict[str, Any] = {}
    if _PER_OPERATION:
        found = {
            f"{backend}.{operation}": torch._C._get_fp32_precision_getter(backend, operation)
            for backend, operation in _OPERATIONS
        }
    for name, (read, _) in _SWITCHES.items():
        found[name] = "mixed"
        with contextlib.suppress(RuntimeError):
            found[name] = read()
    return found


def write_precision(saved: dict[str, Any]) -> None:
    """Restore what :func:`read_precision` returned, with the older settings if they could be read."""
    if _PER_OPERATION:
        _write_operations(saved, _PARENTS)
    # The older setters first, because each also sets a hidden value, without which a later read would raise an error.
    for name, (_, write) in _SWITCHES.items():
        if saved[name] != "mixed":
            write(saved[name])
    if _PER_OPERATION:
        _write_operations(saved, _OPERATIONS)


def _write_operations(saved: dict[str, Any], operations: tuple[tuple[str, str], ...]) -> None:
    for backend, operation in operations:
        wanted = saved[f"{backend}.{operation}"]
        # Only if it differs, because a value that was written no longer follows its parent's.
        if torch._C._get_fp32_precision_getter(backend, operation) != wanted:
            torch._C._set_fp32_precision_setter(backend, operation, wanted)


def write_full_precision() -> None:
    """Switch off every reduced float32 precision, with the older settings if they are enough."""
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    if not _PER_OPERATION:
        return
    for backend, operation in _OPERATIONS[len(_PARENTS) :]:
        # It is still reduced if it inherits from a parent that was set through the new interface.
        if torch._C._get_fp32_precision_getter(backend, operation) not in _FULL_PRECISION:
            torch._C._set_fp32_precision_setter(backend, operation, "ieee")


def is_full_precision(now: dict[str, Any]) -> bool:
    """Return whether every operation computes float32 in full precision."""
    if not _PER_OPERATION:
        return now == _SWITCHES_OFF
    return all(now[f"{backend}.{operation}"] in _FULL_PRECISION for backend, operation in _OPERATIONS[len(_PARENTS) :])


PRECISION = Flag("torch.float32_precision", read_precision, write_precision)


def full_precision_request() -> Request:
    """Request that float32 is computed in full precision."""
    return Request(PRECISION, "full", accepts=is_full_precision, write=write_full_precision)
