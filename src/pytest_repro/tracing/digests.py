"""A value's digest: equal values in equal types give equal digests, in every process; nothing of the user's is called.

Only built-in types and those of known frameworks are read by their own means. An object of another class is read
through its ``__dict__`` and slots (``issubclass(type(x), ...)`` and not ``isinstance``, which asks the object for its
``__class__``), an object of an unknown library only for the arrays and generators that it holds.
"""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import hashlib
import pathlib
import struct
import sys
import types
import uuid
from typing import Any, NamedTuple

import numpy as np

from pytest_repro.numerics.array_digest import feed_bytes
from pytest_repro.tracing.parts import ADAPTERS, BY_REPR, MAX_PARTS, SCALARS, normalise, parts_of

#: Objects within a value that are read at most; what lies beyond is told by a mark, the same in both runs.
MAX_NODES = 20_000
DEEPEST = 7
#: The one part of a set: its elements in no order; it begins with how they are hashed, by "address" or by "value".
ELEMENTS = "(elements)"
MAX_ELEMENTS = 2000
_IMMUTABLE = SCALARS | {range, decimal.Decimal, fractions.Fraction, datetime.datetime, datetime.date, uuid.UUID}


class Digest(NamedTuple):
    """A value's digest, those of its parts by name, if it has any, and how many objects were read for it."""

    whole: str
    parts: dict[str, str]
    work: int


def is_immutable(value: object) -> bool:
    """Tell whether a value cannot change while it stays the same object."""
    return type(value) in _IMMUTABLE


def hashes_by_address(value: object, depth: int = 0) -> bool:
    """Tell whether a value's hash is made from an address, its own or that of something in it."""
    kind: Any = type(value)
    if value is None:
        return sys.version_info < (3, 12)
    if kind is float:
        return value != value  # each NaN is a key of its own
    if kind in (tuple, frozenset):
        elements: Any = kind.__iter__(value)
        return depth < DEEPEST and any(hashes_by_address(element, depth + 1) for element in elements)
    if kind in SCALARS:
        return False
    function = kind.__hash__
    if function is object.__hash__ or issubclass(kind, types.BuiltinFunctionType):
        return True
    # As torch's tensors do.
    return "id" in getattr(getattr(function, "__code__", None), "co_names", ())


def digest_value(value: object) -> Digest:
    """Digest a value and, where it is a container or an object, its parts."""
    walk = _Walk()
    if issubclass(type(value), (set, frozenset)):
        return Digest(walk.digest(value), walk.digest_elements(value), walk.work)
    named = parts_of(value)
    if named is None:
        return Digest(walk.digest(value), {}, walk.work + _size_of(value))
    parts: dict[str, str] = {}
    hasher = hashlib.sha1(type(value).__qualname__.encode(), usedforsecurity=False)
    for count, (name, part) in enumerate(named):
        digest = walk.digest(part, depth=1)
        hasher.update(f"{name}={digest};".encode("utf-8", "surrogatepass"))
        if count < MAX_PARTS:
            parts[name] = digest
    return Digest(hasher.hexdigest()[:16], parts, walk.work)


def _size_of(value: Any) -> int:
    """Weigh an array in objects: 64 KiB take about as long to read as one."""
    return value.nbytes >> 16 if issubclass(type(value), np.ndarray) else 0


class _Walk:
    """One pass over one value, with a bound on how much of it is read."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    @property
    def work(self) -> int:
        """Objects read so far."""
        return MAX_NODES - self._left

    def digest(self, value: object, depth: int = 0) -> str:
        hasher = hashlib.sha1(usedforsecurity=False)
        self._feed(hasher, value, depth, ())
        return str(hasher.hexdigest()[:16])

    def digest_elements(self, value: Any) -> dict[str, str]:
        """Digest a set's elements whatever their order, and tell whether that hangs on addresses."""
        base: Any = set if issubclass(type(value), set) else frozenset
        elements = list(base.__iter__(value))
        if len(elements) > MAX_ELEMENTS:
            return {}
        digests = sorted(self.digest(element, depth=1) for element in elements)
        hashed = "address" if any(map(hashes_by_address, elements)) else "value"
        return {ELEMENTS: f"{hashed}:{hashlib.sha1(''.join(digests).encode(), usedforsecurity=False).hexdigest()[:16]}"}

    def _feed(self, hasher: Any, value: Any, depth: int, above: tuple[int, ...]) -> None:
        kind = type(value)
        self._left -= 1
        if self._left < 0 or depth > DEEPEST or id(value) in above:
            hasher.update(b"<more>" if id(value) not in above else b"<above>")
            return
        if kind in SCALARS:
            hasher.update(_encode_scalar(value))
            return
        hasher.update(f"<{kind.__qualname__}>".encode())
        above = (*above, id(value))
        if issubclass(type(value), np.ndarray):
            self._feed_array(hasher, value, depth, above)
        elif issubclass(type(value), np.generic):
            hasher.update(value.dtype.str.encode() + value.tobytes())
        elif kind in BY_REPR:
            hasher.update(repr(value).encode())
        elif any(adapter.feed(hasher, value) for adapter in ADAPTERS.values()):
            pass
        elif issubclass(type(value), enum.Enum):
            hasher.update(f"{kind.__qualname__}.{value._name_}".encode())
        elif issubclass(type(value), (list, tuple, set, frozenset, dict)):
            self._feed_container(hasher, value, depth, above)
        elif issubclass(type(value), (bytearray, memoryview)):
            hasher.update(bytes(value))
        elif issubclass(type(value), (str, bytes, int, float, complex)):
            hasher.update(_encode_scalar(_plain(value)))
        elif issubclass(type(value), pathlib.PurePath):
            hasher.update(normalise(pathlib.PurePath.__str__(value)).encode("utf-8", "surrogatepass"))
        elif (named := parts_of(value)) is not None:
            for name, part in named:
                hasher.update(f"{name}=".encode("utf-8", "surrogatepass"))
                self._feed(hasher, part, depth + 1, above)
        hasher.update(b";")

    def _feed_container(self, hasher: Any, value: Any, depth: int, above: tuple[int, ...]) -> None:
        if issubclass(type(value), dict):
            items = list(dict.items(value))
            self._feed_items(hasher, [key for key, _ in items], depth, above)
            self._feed_items(hasher, [item for _, item in items], depth, above)
            return
        # In the order of iteration: that of a set is what may differ. The base type's own, whatever a class overrides.
        base: Any = next(b for b in (list, tuple, set, frozenset) if issubclass(type(value), b))
        self._feed_items(hasher, list(base.__iter__(value)), depth, above)

    def _feed_items(self, hasher: Any, items: list[Any], depth: int, above: tuple[int, ...]) -> None:
        kinds = set(map(type, items))
        if kinds <= SCALARS and str not in kinds:
            hasher.update(_encode_scalars(items, kinds))
            return
        hasher.update(struct.pack("<Q", len(items)))
        for item in items:
            if self._left < 0:
                hasher.update(b"<more>")
                return
            self._feed(hasher, item, depth + 1, above)

    def _feed_array(self, hasher: Any, value: Any, depth: int, above: tuple[int, ...]) -> None:
        array = value.view(np.ndarray) if type(value) is not np.ndarray else value
        flags = array.flags
        layout = f"{array.dtype.str}{array.shape}{int(flags.c_contiguous)}{int(flags.f_contiguous)}"
        hasher.update(layout.encode())
        if array.dtype.hasobject:
            self._feed_items(hasher, array.ravel().tolist(), depth, above)
            return
        feed_bytes(hasher, array)


def _encode_scalars(items: list[Any], kinds: set[type]) -> bytes:
    """Return numbers as bytes: many of one kind at once, in binary, which keeps every bit."""
    for kind, code in ((float, "d"), (int, "q")):
        if kinds == {kind}:
            try:
                return b"%s%d:" % (code.encode(), len(items)) + array.array(code, items).tobytes()
            except OverflowError:  # an integer of more than 64 bits
                break
    return repr(items).encode()


def _encode_scalar(value: Any) -> bytes:
    kind: type = type(value)
    if kind is float:
        return b"f" + struct.pack("<d", value)
    if kind is str:
        return b"s" + normalise(value).encode("utf-8", "surrogatepass") + b"\0"
    if kind is int:
        return f"i{value:x}".encode()
    if kind is bytes:
        return bytes(b"y" + value)
    if kind is complex:
        return b"c" + struct.pack("<2d", value.real, value.imag)
    return b"n" if value is None else b"b1" if value else b"b0"


def _plain(value: Any) -> Any:
    """Return the plain value below a subclass of a scalar, by the base class's own means."""
    if issubclass(type(value), str):
        return str.__str__(value)
    if issubclass(type(value), bytes):
        return bytes.__getitem__(value, slice(None))
    if issubclass(type(value), int):
        return int.__add__(value, 0)
    return float.__add__(value, 0.0) if issubclass(type(value), float) else complex.__add__(value, 0j)
