"""Attributes of any object, and of which library's code they are: without a call to the object's class."""

from __future__ import annotations

import dis
import struct
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_repro.frameworks.base_values import Parts

# By type's own descriptors: a metaclass may define what its classes' attributes are.
mro_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
members_of: Callable[[type], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
name_of: Callable[[type], str] = type.__dict__["__qualname__"].__get__
_module_of: Callable[[type], Any] = type.__dict__["__module__"].__get__
_dict_offset_of: Callable[[type], int] = type.__dict__["__dictoffset__"].__get__

_POINTER = struct.calcsize("P")
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\", "\\dist-packages\\")
_STANDARD = tuple({sysconfig.get_paths().get(name, "") for name in ("stdlib", "platstdlib")} - {""})

#: Notes that torch's compiler leaves on the tensors of a model when it first compiles it, which are no result.
COMPILER_NOTES = (
    "_dynamo_dynamic_indices",
    "_dynamo_dynamic_range",
    "_dynamo_static_input_type",
    "_dynamo_unbacked_indices",
    "_dynamo_weak_dynamic_indices",
)


def origin_of(kind: type) -> str:
    """Return the name of the module that defines a type, or an empty name."""
    try:
        module = _module_of(kind)
    except AttributeError:
        return ""
    return module if type(module) is str else ""


def full_name(kind: type) -> str:
    """Return a type's qualified name with its module, unless it is a builtin."""
    return f"{origin_of(kind)}.{name_of(kind)}".removeprefix("builtins.").removeprefix(".")


def package_of(kind: type) -> str:
    """Return the package that defines a type: ``torch``, or ``builtins`` for all of the standard library."""
    package = origin_of(kind).partition(".")[0]
    return "builtins" if package in sys.stdlib_module_names and package != "__main__" else package


def is_library_file(name: str) -> bool:
    """Return whether a file belongs to an installed library or to Python, by its path alone."""
    return any(folder in name for folder in _INSTALLED) or name.startswith(("<frozen", *_STANDARD))


def is_library_class(kind: type) -> bool:
    """Return whether an installed library, Python, or a compiled module without a file defines a class."""
    origin = origin_of(kind)
    file = getattr(sys.modules.get(origin), "__file__", None)
    if not isinstance(file, str):
        return package_of(kind) == "builtins"
    return is_library_file(file)


def read_attributes(value: object) -> Parts:
    """Return an object's own attributes and slots, past any `__getattribute__` of its class."""
    parts = read_dict(value)
    for name, slot in slots_of(type(value)):
        try:
            parts.append((name, slot.__get__(value, type(value))))
        except AttributeError:  # never assigned
            continue
    return parts


def read_dict(value: object) -> Parts:
    """Return the entries of an object's ``__dict__``, also where its class hides that behind a property.

    An entry whose name is not text is named by its place, with its key beside it.
    """
    try:
        own = _get_plain_dict(value) if _hides_dict(type(value)) else object.__getattribute__(value, "__dict__")
    except AttributeError:
        return Parts()
    if not issubclass(type(own), dict):
        return Parts()
    parts = Parts()
    for name, part in dict.items(own):
        if issubclass(type(name), str):
            parts.append((str.__str__(name), part))
        else:
            place = len(parts)
            parts += [(f"[{place}] key", name), (f"[{place}] value", part)]
    return parts


def _hides_dict(kind: type) -> bool:
    """Return whether a class replaces the ``__dict__`` that its instances have, by a property for example."""
    if not _dict_offset_of(kind):
        return False
    for base in mro_of(kind):
        if (member := members_of(base).get("__dict__")) is not None:
            return not issubclass(type(member), (types.GetSetDescriptorType, types.MemberDescriptorType))
    return False


def _get_plain_dict(value: object) -> Any:
    import ctypes  # only for classes that hide their dict

    get = ctypes.pythonapi.PyObject_GenericGetDict
    get.restype, get.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
    return get(value, None)


def slots_of(kind: type) -> list[tuple[str, types.MemberDescriptorType]]:
    """Return the slots that a class and its bases declare, those of the most derived class first."""
    return [
        (name, slot)
        for base in mro_of(kind)[:-1]
        if "__slots__" in members_of(base)
        for name, slot in members_of(base).items()
        if issubclass(type(slot), types.MemberDescriptorType)
    ]


def is_importable(kind: type) -> bool:
    """Return whether a class is found in its module under its name, so that no run has made it."""
    found: Any = sys.modules.get(origin_of(kind))
    for part in name_of(kind).split("."):
        found = getattr(found, part, None)
    return found is kind


def compiled_fields(kind: type) -> list[tuple[str, types.MemberDescriptorType]]:
    """Return the fields that compiled bases of a class keep outside of its attributes, as those of an `OSError`."""
    return [
        (name, field)
        for base in mro_of(kind)[:-1]
        if "__slots__" not in members_of(base)
        for name, field in members_of(base).items()
        if issubclass(type(field), types.MemberDescriptorType) and not name.startswith("__")
    ]


def has_hidden_state(kind: type) -> bool:
    """Return whether instances may hold more than their attributes and slots, in memory of compiled code.

    By the size of an instance, as pickle decides whether attributes are all that there is.
    """
    size = object.__basicsize__ + _POINTER * len(slots_of(kind))
    size += _POINTER * (kind.__dictoffset__ > 0) + _POINTER * (kind.__weakrefoffset__ > 0)
    return kind.__itemsize__ != 0 or kind.__basicsize__ > size


_STORE_ATTR = dis.opmap["STORE_ATTR"]
# Weakly: a class that a test has made, and what its methods have closed over, must not outlive the test.
_library_names: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()
_own_names: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def library_names(kind: type) -> frozenset[str]:
    """Return the names of attributes that the code of a class' library bases sets, and that of no other base.

    Such attributes are the library's own bookkeeping; all others were set by the user.
    """
    found = _library_names.get(kind)
    if found is None:
        found = _library_names[kind] = _find_library_names(kind)
    return found


def _find_library_names(kind: type) -> frozenset[str]:
    libraries: set[str] = set()
    own: set[str] = set()
    bases: tuple[type, ...] = mro_of(kind)[:-1]
    for base in bases:
        names = _own_names.get(base)
        if names is None:
            names = _own_names[base] = _names_set_by(base)
        (libraries if is_library_class(base) else own).update(names)
    return frozenset(libraries - own)


def _names_set_by(kind: type) -> frozenset[str]:
    annotations = members_of(kind).get("__annotations__") if is_library_class(kind) else None
    found: set[str] = set(annotations) if isinstance(annotations, dict) else set()
    for member in list(members_of(kind).values()):
        for function in (member, getattr(member, "fset", None), getattr(member, "__func__", None)):
            while isinstance(function, types.FunctionType):
                found |= _names_in(function.__code__)
                function = getattr(function, "__wrapped__", None)  # of a decorated one
    return frozenset(found)


def _stored_attributes(code: types.CodeType) -> Iterator[str]:
    """Yield the names of the attributes that a code object sets.

    Not by :func:`dis.get_instructions`, which takes 0.2 s for `torch.nn.Module`.
    """
    argument, text = 0, code.co_code
    for operation, low in zip(text[::2], text[1::2], strict=True):
        argument = argument << 8 | low
        if operation == _STORE_ATTR:
            yield code.co_names[argument]
        if operation != dis.EXTENDED_ARG:
            argument = 0


def _names_in(code: types.CodeType) -> set[str]:
    found = set(_stored_attributes(code))
    if {"__setattr__", "setattr", "__dict__"} & set(code.co_names):
        found |= {text for text in code.co_consts if isinstance(text, str) and text.isidentifier()}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= _names_in(inner)
    return found
