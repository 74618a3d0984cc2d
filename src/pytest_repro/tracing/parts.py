"""What an object is made of, by name, read past all that its class defines; and whose objects are read how."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
import random
import re
import sys
import tempfile
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

#: Parts of an object that are digested by themselves, so that the one that differs can be named.
MAX_PARTS = 64
SCALARS = frozenset({int, float, bool, str, bytes, complex, type(None)})
BY_REPR = frozenset(
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
OPAQUE = (
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
#: Libraries whose objects hold their state in plain attributes.
_READABLE = ("sklearn", "torch.optim", "torch.utils.data", "pandas.core", "scipy.sparse", "collections")

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_RANDOM_FOLDER = re.compile(r"(?:tmp[a-z0-9_]{6,10}|pytest-of-[^/\\]+[/\\]pytest-\d+|pytest-repro-[a-z0-9_]+)")


class Adapter(NamedTuple):
    """How a framework's objects are read: tells its bytes, its parts, or a short text; None for what is not its."""

    feed: Callable[[Any, Any], bool]
    parts: Callable[[Any], Iterable[tuple[str, Any]] | None]
    text: Callable[[Any], str | None]


ADAPTERS: dict[str, Adapter] = {}


def register_adapter(framework: str, adapter: Adapter) -> None:
    """Have a framework's objects read by its adapter; frameworks/ knows them, this layer does not."""
    ADAPTERS[framework] = adapter


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


def find_part(value: object, name: str) -> object:
    """Return the part of a value that has this name; raises LookupError."""
    for found, part in parts_of(value) or ():
        if found == name:
            return part
    raise LookupError(name)


def parts_of(value: Any) -> Iterable[tuple[str, Any]] | None:
    """Return what an object is made of, by name; None for what has no names."""
    kind = type(value)
    if kind in SCALARS or issubclass(type(value), (np.ndarray, np.generic, *OPAQUE)):
        return None
    for adapter in ADAPTERS.values():
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
    if issubclass(type(value), (list, tuple, set, frozenset, enum.Enum, pathlib.PurePath)) or kind in BY_REPR:
        return None
    return _attributes(value)


def _dict_parts(value: dict[Any, Any]) -> list[tuple[str, Any]] | None:
    items = list(dict.items(value))
    if len(items) > MAX_PARTS or any(type(key) not in (str, int) for key, _ in items):
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
    if is_readable(origin):
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


def is_readable(origin: str) -> bool:
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
    ) or any(adapter.text(value) is not None for adapter in ADAPTERS.values())
