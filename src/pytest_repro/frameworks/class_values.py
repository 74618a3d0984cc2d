"""What the classes of objects hold: attributes of a class that a run may have changed, and classes made by a run."""

from __future__ import annotations

import types
import weakref
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from pytest_repro.frameworks.attributes import (
    full_name,
    is_importable,
    is_library_class,
    library_names,
    members_of,
    mro_of,
    name_of,
    origin_of,
)
from pytest_repro.frameworks.base_values import Branch, Handler, Omitted
from pytest_repro.frameworks.function_values import capture_surroundings
from pytest_repro.frameworks.object_values import named_attributes
from pytest_repro.model import Leaf

#: What Python keeps on a class by itself, under names that are no dunders.
_MACHINERY = frozenset(["_abc_impl", "_is_protocol", "_is_runtime_protocol", "__slots__"])
_NAMED_TUPLE = frozenset(["_fields", "_field_defaults", "_make", "_replace", "_asdict"])


def capture_class(value: type) -> Leaf | Branch:
    """Capture a class by its qualified name, and an Enum of the user's by its members too."""
    leaf = Leaf("value", full_name(value), "type", "str")
    if not issubclass(value, Enum) or is_library_class(value):
        return leaf
    return Branch("type", sorted(value.__members__.items()), is_object=True, own_leaf=leaf)


def user_classes(kind: type) -> list[type]:
    """Return a class and its bases, without those that belong to a library."""
    return [
        base
        for base in mro_of(kind)
        if base is not object and not origin_of(base).startswith("pytest_repro.") and not is_library_class(base)
    ]


def read_class(kind: type) -> list[tuple[str, Any]]:
    """Return what a class of the user's holds: its own attributes that are values, sorted by name.

    Of its methods, those count that something else was put in place of. What a class statement itself defines is
    code of the program; if a run has made the class, what its methods have closed over counts. An integer on any other
    class does not count: it mostly counts objects or calls, of earlier runs and tests too.
    """
    return sorted(_iterate(kind), key=lambda part: part[0])


def _iterate(kind: type) -> Iterator[tuple[str, Any]]:
    skipped = _MACHINERY | library_names(kind) | (_NAMED_TUPLE if issubclass(kind, tuple) else frozenset())
    if issubclass(kind, Enum):  # whose members are captured where they are
        skipped |= kind.__members__.keys()
    if is_dataclass(kind):
        skipped |= {field.name for field in fields(kind)}  # their defaults, which each instance has taken
    is_made = not is_importable(kind)
    for name, member in members_of(kind).items():
        if type(name) is not str or name in skipped or (name.startswith("__") and name.endswith("__")):
            continue
        if issubclass(kind, Enum) and name.startswith("_") and name.endswith("_"):  # of the machinery of enum
            continue
        functions = list(_functions_of(member))
        if functions:
            for function in functions:
                if not function.__qualname__.startswith(f"{name_of(kind)}."):
                    yield name, function
                elif is_made and (surroundings := capture_surroundings(function)) is not None:
                    yield name, surroundings
        elif isinstance(member, _WEAK):
            yield name, Omitted("a weak reference holds no result", is_state=False)
        elif isinstance(member, PurePath):
            yield name, Omitted("a path on a class is a setting of the program", is_state=False)
        elif not _has_get(type(member)):
            if is_made or type(member) is not int:
                yield name, member
        elif not is_library_class(type(member)):
            yield name, _read_descriptor(member)


def _functions_of(member: Any) -> Iterator[types.FunctionType]:
    parts = [member]
    if isinstance(member, (staticmethod, classmethod)):
        parts = [member.__func__]
    elif isinstance(member, property):
        parts = [member.fget, member.fset, member.fdel]
    return (part for part in parts if isinstance(part, types.FunctionType))


#: Containers that keep nothing alive: what they hold depends on when objects are collected.
_WEAK = (weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)


def _has_get(kind: type) -> bool:
    """Return whether a member is the means to make an attribute, as `functools.cached_property`."""
    return any("__get__" in members_of(base) for base in mro_of(kind))


def _read_descriptor(descriptor: Any) -> Branch:
    parts = [(name, _hide_owners(part)) for name, part in named_attributes(descriptor)]
    return Branch(type(descriptor).__name__, parts, is_object=True)


def _hide_owners(part: Any) -> Any:
    """Return an attribute of a descriptor, or a note in place of the values that it keeps for each object."""
    by_address = isinstance(part, dict) and any(type(key) is int for key in part)
    if (by_address or isinstance(part, _WEAK)) and len(part):
        return Omitted("a descriptor keeps values of all objects here; return the attribute itself", is_state=True)
    return part


HANDLERS: dict[type, Handler] = {type: capture_class}

#: Types whose subclasses' instances have no attributes of their own that count: `read_class` returns those of a class.
COMPLETE = (type,)
