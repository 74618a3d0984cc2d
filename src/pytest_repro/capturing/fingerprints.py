"""Fingerprints of the state of modules and functions, which a run may leave changed.

A fingerprint shows more than the digest of a watched run: the position of an iterator, the state that a copy of an
object would have, and every difference between two texts. For these it calls ``__reduce_ex__`` and other methods.
"""

from __future__ import annotations

import hashlib
import types
from contextlib import suppress
from typing import Any

import numpy as np

from pytest_repro.capturing.live import View
from pytest_repro.frameworks.base_values import SCALAR_ENCODERS, Node, Pairs, Reader

#: Items of a container and bytes of an array that are read.
MAX_ITEMS, MAX_BYTES = 1000, 64 * 2**20

PLAIN = (int, float, complex, bool, str, bytes, type(None))
#: Code, which has no state of its own.
CODE = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def fingerprint(value: object) -> str:
    """Digest a value's content, or only its type if it cannot be read."""
    return _STATE.digest(value)


def generator_state(value: Any) -> str | None:
    """Return the state of a generator of random numbers of NumPy, Python or torch, or None for anything else."""
    with suppress(Exception):
        if hasattr(value, "bit_generator"):
            return repr(value.bit_generator.state)
        if hasattr(value, "getstate"):
            return repr(value.getstate())
        if hasattr(value, "get_state") and (hasattr(value, "manual_seed") or hasattr(value, "seed")):
            return repr(_read_array(value.get_state()) or value.get_state(legacy=False))
    return None


def _find_reader(kind: type) -> Reader:
    for base, encode in SCALAR_ENCODERS.items():
        if issubclass(kind, base):
            return Reader(encode)
    if issubclass(kind, CODE):
        return Reader(lambda value: None)
    if issubclass(kind, dict):
        return Reader(_read_dict)
    return Reader(_read_sequence if issubclass(kind, (list, tuple, set, frozenset)) else _read_object)


def _read_dict(value: dict[Any, Any]) -> Pairs:
    return Pairs(list(value.keys())[:MAX_ITEMS], list(value.values())[:MAX_ITEMS])


def _read_sequence(value: Any) -> list[Any]:
    return list(value)[:MAX_ITEMS]


def _read_object(value: Any) -> Node:
    if (array := _read_array(value)) is not None:
        return array
    if (drawn := generator_state(value)) is not None:
        return drawn.encode()
    return _read_parts(value)


def _read_array(value: Any) -> bytes | None:
    """Digest an array or tensor of any framework, but not one of objects."""
    with suppress(Exception):
        if hasattr(value, "detach") and hasattr(value, "numpy"):
            value = value.detach().cpu().numpy()
        if hasattr(value, "tobytes") and hasattr(value, "dtype") and value.dtype.kind != "O":
            data = value if type(value) is np.ndarray else np.frombuffer(value.tobytes(), np.uint8)
            flat: Any = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
            return f"{value.dtype}{value.shape}".encode() + hashlib.blake2b(flat[:MAX_BYTES], digest_size=16).digest()
    return None


def _read_parts(value: Any) -> list[Any] | None:
    frame = getattr(value, "gi_frame", None)
    if frame is not None:
        return [frame.f_lasti, dict(frame.f_locals)]
    with suppress(Exception):
        if type(value).__module__ == "itertools" and type(value).__name__ == "count":
            return [repr(value)]
        reduced = value.__reduce_ex__(4)
        return list(reduced[1:3]) if isinstance(reduced, tuple) else [reduced]
    with suppress(Exception):
        return [dict(vars(value))]
    return None


_STATE = View(_find_reader, max_depth=8)
