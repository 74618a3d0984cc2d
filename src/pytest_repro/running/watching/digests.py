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
import random
import re
import struct
import sys
import tempfile
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pytest_repro.numerics.array_digest import describe_array, feed_bytes

#: Objects within a value that are read at most; what lies beyond is told by a mark, the same in both runs.
MOST_NODES = 20_000
DEEPEST = 7
#: The one part of a set: its elements in no order; it begins with how they are hashed, by "address" or by "value".
ELEMENTS = "(elements)"
MOST_ELEMENTS = 2000
#: Parts of an object that are digested by themselves, so that the one that differs can be named.
MOST_PARTS = 64
LONGEST_TEXT = 160
_SCALARS = frozenset({int, float, bool, str, bytes, complex, type(None)})
_IMMUTABLE = _SCALARS | {range, decimal.Decimal, fractions.Fraction, datetime.datetime, datetime.date, uuid.UUID}
_BY_REPR = frozenset(
    {
        range,
        slice,
        decimal.Decimal,
        fractions.Fraction,
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        datetime.timezone,
        uuid.UUID,
        type(Ellipsis),
        type(NotImplemented),
    }
)
_OPAQUE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.GeneratorType,
    types.CoroutineType,
    types.CodeType,
    types.FrameType,
    BaseException,
)
#: Objects that are read by means of their own.
_WHOLE = (
    enum.Enum,
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    np.random.BitGenerator,
    np.random.SeedSequence,
)
#: Ends the text of an object of which only a part is read: two that look alike may differ.
IN_PART = " (read in part)"
#: Libraries whose objects hold their state in plain attributes.
_READABLE = ("sklearn", "torch.optim", "torch.utils.data", "pandas.core", "scipy.sparse", "collections")

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_RANDOM_FOLDER = re.compile(r"(?:tmp[a-z0-9_]{6,10}|pytest-of-[^/\\]+[/\\]pytest-\d+|pytest-repro-[a-z0-9_]+)")


class Digest(NamedTuple):
    """A value's digest, those of its parts by name, if it has any, and how many objects were read for it."""

    whole: str
    parts: dict[str, str]
    work: int


class Adapter(NamedTuple):
    """How a framework's objects are read: tells its bytes, its parts, or a short text; None for what is not its."""

    feed: Callable[[Any, Any], bool]
    parts: Callable[[Any], Iterable[tuple[str, Any]] | None]
    text: Callable[[Any], str | None]


_adapters: dict[str, Adapter] = {}


def register_adapter(framework: str, adapter: Adapter) -> None:
    """Have a framework's objects read by its adapter; frameworks/ knows them, this layer does not."""
    _adapters[framework] = adapter


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
    if kind in _SCALARS:
        return False
    function = kind.__hash__
    if function is object.__hash__ or issubclass(kind, types.BuiltinFunctionType):
        return True
    # As torch's tensors do.
    return "id" in getattr(getattr(function, "__code__", None), "co_names", ())


def normalise(text: str) -> str:
    """Replace what differs between any two runs and says nothing: addresses and random names of temporary folders."""
    if "0x" in text:
        text = _ADDRESS.sub("0x...", text)
    if "tmp" in text or "pytest-" in text:
        text = _RANDOM_FOLDER.sub("<tmp>", text)
        folder = tempfile.tempdir
        if folder and folder in text:
            text = text.replace(folder, "<tmp>")
    return text


def digest_value(value: object) -> Digest:
    """Digest a value and, where it is a container or an object, its parts."""
    walk = _Walk()
    if issubclass(type(value), (set, frozenset)):
        return Digest(walk.digest(value), walk.digest_elements(value), walk.work)
    named = _parts_of(value)
    if named is None:
        return Digest(walk.digest(value), {}, walk.work + _size_of(value))
    parts: dict[str, str] = {}
    hasher = hashlib.sha1(type(value).__qualname__.encode(), usedforsecurity=False)
    for count, (name, part) in enumerate(named):
        digest = walk.digest(part, depth=1)
        hasher.update(f"{name}={digest};".encode("utf-8", "surrogatepass"))
        if count < MOST_PARTS:
            parts[name] = digest
    return Digest(hasher.hexdigest()[:16], parts, walk.work)


def _size_of(value: Any) -> int:
    """Weigh an array in objects: 64 KiB take about as long to read as one."""
    return value.nbytes >> 16 if issubclass(type(value), np.ndarray) else 0


def describe(value: object) -> str:
    """Say a value in a short line that holds no address."""
    try:
        text = _describe(value)
    except Exception as error:
        text = f"{type(value).__name__} ({type(error).__name__})"
    return normalise(text)[:LONGEST_TEXT]


def find_part(value: object, name: str) -> object:
    """Return the part of a value that :func:`digest_value` named so; raises LookupError."""
    for found, part in _parts_of(value) or ():
        if found == name:
            return part
    raise LookupError(name)


class _Walk:
    """One pass over one value, with a bound on how much of it is read."""

    def __init__(self) -> None:
        self._left = MOST_NODES

    @property
    def work(self) -> int:
        """Objects read so far."""
        return MOST_NODES - self._left

    def digest(self, value: object, depth: int = 0) -> str:
        hasher = hashlib.sha1(usedforsecurity=False)
        self._feed(hasher, value, depth, ())
        return str(hasher.hexdigest()[:16])

    def digest_elements(self, value: Any) -> dict[str, str]:
        """Digest a set's elements whatever their order, and tell whether that hangs on addresses."""
        base: Any = set if issubclass(type(value), set) else frozenset
        elements = list(base.__iter__(value))
        if len(elements) > MOST_ELEMENTS:
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
        if kind in _SCALARS:
            hasher.update(_encode_scalar(value))
            return
        hasher.update(f"<{kind.__qualname__}>".encode())
        above = (*above, id(value))
        if issubclass(type(value), np.ndarray):
            self._feed_array(hasher, value, depth, above)
        elif issubclass(type(value), np.generic):
            hasher.update(value.dtype.str.encode() + value.tobytes())
        elif kind in _BY_REPR:
            hasher.update(repr(value).encode())
        elif any(adapter.feed(hasher, value) for adapter in _adapters.values()):
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
        elif (named := _parts_of(value)) is not None:
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
        if kinds <= _SCALARS and str not in kinds:
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


def _parts_of(value: Any) -> Iterable[tuple[str, Any]] | None:
    """Return what an object is made of, by name; None for what has no names."""
    kind = type(value)
    if kind in _SCALARS or issubclass(type(value), (np.ndarray, np.generic, *_OPAQUE)):
        return None
    for adapter in _adapters.values():
        if (parts := adapter.parts(value)) is not None:
            return parts
        if adapter.text(value) is not None:
            return None
    if issubclass(type(value), dict):
        return _dict_parts(value)
    if issubclass(type(value), random.Random):
        # A subclass has a state of its own, which only its own methods tell.
        return [("state", random.Random.getstate(value))] if kind is random.Random else None
    if issubclass(type(value), np.random.Generator):
        return _bit_generator_parts(value.bit_generator)
    if issubclass(type(value), np.random.RandomState):
        return _bit_generator_parts(value._bit_generator)
    if issubclass(type(value), np.random.BitGenerator):
        return _bit_generator_parts(value)
    if issubclass(type(value), np.random.SeedSequence):
        return [("entropy", value.entropy), ("spawn_key", value.spawn_key), ("children", value.n_children_spawned)]
    if issubclass(type(value), (list, tuple, set, frozenset, enum.Enum, pathlib.PurePath)) or kind in _BY_REPR:
        return None
    return _attributes(value)


def _dict_parts(value: dict[Any, Any]) -> list[tuple[str, Any]] | None:
    items = list(dict.items(value))
    if len(items) > MOST_PARTS or any(type(key) not in (str, int) for key, _ in items):
        return None
    return [(f"[{normalise(key)!r}]" if type(key) is str else f"[{key}]", item) for key, item in items]


def _bit_generator_parts(bit_generator: Any) -> list[tuple[str, Any]]:
    return [("state", bit_generator.state)]


def _attributes(value: Any) -> list[tuple[str, Any]] | None:
    """Return an object's own attributes, past any `__getattribute__` of its class."""
    kind = type(value)
    origin = kind.__module__ if isinstance(kind.__module__, str) else ""
    if origin == "builtins":
        return None
    if f"{origin}.{kind.__name__}" == "sklearn.tree._tree.Tree":
        state = value.__getstate__()
        return [(name, state[name]) for name in ("nodes", "values") if name in state]
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    found = [(name, part) for name, part in dict.items(own) if type(name) is str] if isinstance(own, dict) else []
    found += _slots(value, kind)
    if _is_readable(origin):
        return found
    return [(name, part) for name, part in found if _is_data(part)]


def _slots(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    for base in kind.__mro__[:-1]:
        for name, slot in base.__dict__.items():
            if isinstance(slot, types.MemberDescriptorType) and not name.startswith("__"):
                try:
                    yield name, slot.__get__(value, kind)
                except AttributeError:
                    continue


def _is_readable(origin: str) -> bool:
    """Tell whether a class is the user's or of a library whose attributes are its state."""
    if origin.startswith(_READABLE):
        return True
    file = getattr(sys.modules.get(origin), "__file__", None) or ""
    return _is_user_file(file)


_user_files: Callable[[str], bool] | None = None


def tell_user_files(is_user: Callable[[str], bool] | None) -> None:
    """Set what tells a user's file from a library's."""
    global _user_files
    _user_files = is_user


def _is_user_file(file: str) -> bool:
    return bool(file) and (_user_files is None or _user_files(file))


def _is_data(value: object) -> bool:
    """Tell what an unknown library's object is read for; its numbers and texts may be its timings and its paths."""
    return issubclass(
        type(value), (np.ndarray, np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
    ) or any(adapter.text(value) is not None for adapter in _adapters.values())


def _describe(value: Any) -> str:
    kind = type(value)
    name = kind.__name__
    for adapter in _adapters.values():
        if (text := adapter.text(value)) is not None:
            return text
    if kind in (str, bytes):
        return repr(value[:LONGEST_TEXT])
    if kind is int:
        return repr(value) if value.bit_length() < 400 else f"int of {value.bit_length()} bits"
    if kind in _SCALARS or kind in _BY_REPR:
        return repr(value)
    if issubclass(type(value), np.generic):
        return f"{name}({value.item()!r})"
    if issubclass(type(value), np.ndarray):
        return describe_array(value.view(np.ndarray), name)
    if issubclass(type(value), (list, tuple, set, frozenset)):
        base: Any = next(b for b in (list, tuple, set, frozenset) if issubclass(type(value), b))
        items = list(base.__iter__(value))
        shown = ", ".join(_describe_item(item) for item in items[:6]) + (", ..." if len(items) > 6 else "")
        return f"{name} of {len(items)}: {shown}"
    if issubclass(type(value), dict):
        items = list(dict.items(value))
        shown = ", ".join(f"{_describe_item(k)}: {_describe_item(v)}" for k, v in items[:4])
        return f"{name} of {len(items)}: {shown}" + (", ..." if len(items) > 4 else "")
    if issubclass(type(value), pathlib.PurePath):
        return pathlib.PurePath.__str__(value)
    return f"{name}{IN_PART}" if _is_read_in_part(value) else name


def _is_read_in_part(value: object) -> bool:
    """Tell whether an object belongs to a library whose objects are not read wholly, or hides its state in C."""
    kind = type(value)
    origin = kind.__module__ if isinstance(kind.__module__, str) else ""
    if origin == "builtins" or issubclass(kind, (*_OPAQUE, *_WHOLE)):
        return False
    return not _is_readable(origin)


def _describe_item(value: Any) -> str:
    return (
        _describe(value)[:24]
        if type(value) in _SCALARS or issubclass(type(value), np.generic)
        else type(value).__name__
    )
