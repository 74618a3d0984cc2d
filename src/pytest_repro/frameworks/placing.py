"""Placement of models and data on a run's device, widened to float64 in a reference run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_repro.errors import UsageError

_PLAIN = (str, bytes, bool, int, float, complex, type(None))


def place(value: Any, device: str, *, widens: bool) -> Any:
    """Return a value on a device, with its floating-point numbers as float64 if `widens`.

    Parameters
    ----------
    value : torch module or tensor, JAX or NumPy array, or list, tuple or mapping of them
        A module is moved in place, as its own ``to`` does.
    device : str
    widens : bool

    Raises
    ------
    UsageError
        If a value has another type, because it must not be left on another device silently.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.astype(_wide(value.dtype)) if widens and value.dtype.kind in "fc" else value
    if isinstance(value, Mapping):
        return {key: place(item, device, widens=widens) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        placed = [place(item, device, widens=widens) for item in value]
        return type(value)(*placed) if hasattr(value, "_fields") else type(value)(placed)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Module):
        moved = value.to(device)
        return moved.double() if widens else moved
    if torch is not None and isinstance(value, torch.Tensor):
        moved = value.to(device)
        if widens and value.is_complex():
            return moved.to(torch.complex128)
        return moved.double() if widens and value.is_floating_point() else moved
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        return _place_in_jax(jax, value, device, widens)
    raise UsageError(
        f"repro.place: a {type(value).__name__} cannot be placed; pass modules, tensors, arrays, or lists, tuples and "
        "mappings of them, and build objects that hold them, such as an optimizer, from the returned values"
    )


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    wide = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
    return max(dtype, wide, key=lambda each: each.itemsize)


def _place_in_jax(jax: Any, value: Any, device: str, widens: bool) -> Any:
    kind, _, index = device.partition(":")
    placed = jax.device_put(value, jax.devices(kind)[int(index or 0)])
    if not widens or not jax.numpy.issubdtype(value.dtype, jax.numpy.inexact):
        return placed
    if not jax.config.jax_enable_x64:
        raise UsageError(
            "repro.place: JAX computes in float64 only if jax_enable_x64 is set; set it for the whole test"
        )
    wide = jax.numpy.complex128 if jax.numpy.issubdtype(value.dtype, jax.numpy.complexfloating) else jax.numpy.float64
    return placed.astype(wide)
