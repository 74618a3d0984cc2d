"""Which devices the frameworks at hand can compute on, by torch's names."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

#: cpu, cuda:1, mps ...; JAX's platform "gpu" goes by the name of "cuda".
DEVICE_NAME = re.compile(r"(cpu|cuda|mps|xpu)(?::(\d{1,3}))?")


def why_missing(device: str) -> str | None:
    """Say why no framework here has this device; None if one has it.

    Imports torch, or else JAX, unless the device is the CPU: that either is installed is not enough.
    """
    match = DEVICE_NAME.fullmatch(device)
    if match is None:
        return f"{device!r} is no device; known are cpu, cuda, mps, xpu, each with an index as in cuda:1"
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
    count = backend.device_count()
    return None if index < count else f"torch finds {count} {kind} device{'s' * (count != 1)}, so none of index {index}"


def _why_missing_in_jax(kind: str, index: int) -> str | None:
    import jax

    try:
        count = len(jax.devices(kind))
    except RuntimeError as error:
        return f"jax {jax.__version__} finds no {kind} device: {str(error).splitlines()[0]}"
    return None if index < count else f"jax finds {count} {kind} device{'s' * (count != 1)}, so none of index {index}"
