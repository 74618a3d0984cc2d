"""Check whether an installed framework can compute on a device, named as in torch."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

#: cpu, cuda:1, mps ... JAX's platform "gpu" is called "cuda".
DEVICE_NAME = re.compile(r"(cpu|cuda|mps|xpu)(?::(\d{1,3}))?")


def why_missing(device: str) -> str | None:
    """Return the reason why no installed framework has this device, or None if one has it.

    Imports torch, or else JAX, unless the device is the CPU, because an installed framework may lack the device.
    """
    match = DEVICE_NAME.fullmatch(device)
    if match is None:
        return f"{device!r} is not a device; use cpu, cuda, mps or xpu, with an optional index as in cuda:1"
    kind, index = match[1], int(match[2] or 0)
    if kind == "cpu":
        return None
    if importlib.util.find_spec("torch") is not None:
        return _why_missing_in_torch(kind, index)
    if importlib.util.find_spec("jax") is not None:
        return _why_missing_in_jax(kind, index)
    return f"no installed framework computes on {kind}: install torch or jax"


def _why_missing_in_torch(kind: str, index: int) -> str | None:
    import torch

    backend: Any = getattr(torch, kind, None)
    if backend is None or not backend.is_available():
        return f"torch {torch.__version__} finds no {kind} device"
    return _why_index_missing("torch", kind, index, backend.device_count())


def _why_missing_in_jax(kind: str, index: int) -> str | None:
    import jax

    try:
        count = len(jax.devices(kind))
    except RuntimeError as error:
        return f"jax {jax.__version__} finds no {kind} device: {str(error).splitlines()[0]}"
    return _why_index_missing("jax", kind, index, count)


def _why_index_missing(framework: str, kind: str, index: int, count: int) -> str | None:
    if index < count:
        return None
    return f"{framework} finds {count} {kind} device{'s' * (count != 1)}, so index {index} does not exist"
