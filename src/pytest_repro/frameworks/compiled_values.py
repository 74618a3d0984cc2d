"""Values of the standard library's compiled types, which keep their content outside of attributes."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import re
import struct
from typing import Any

from pytest_repro.frameworks.attributes import compiled_fields, read_dict
from pytest_repro.frameworks.base_values import Branch, Handler, Internal, NotComparableError
from pytest_repro.frameworks.object_values import named_attributes
from pytest_repro.model import Leaf


def capture_exception(value: BaseException) -> Branch:
    """Capture an exception by its arguments and attributes, and those that it came from, without tracebacks."""
    children: list[tuple[str, Any]] = [
        ("args", value.args),
        ("cause", value.__cause__),
        ("context", value.__context__),
    ]
    if value.__suppress_context__ and value.__cause__ is None:
        children.append(("suppress_context", True))
    own = {f".{name}": part for name, part in named_attributes(value)}
    for name, field in compiled_fields(type(value)):
        part = field.__get__(value)
        if part is not None and not any(part is argument for argument in value.args):
            own.setdefault(f".{name}", Internal(part) if name == "obj" else part)
    return Branch(type(value).__name__, [*children, *own.items()], whole=False, is_object=True)


def read_hidden_fields(value: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the fields that a tuple such as an `os.stat_result` has beyond its elements."""
    kind = type(value)
    if not isinstance(getattr(kind, "n_sequence_fields", None), int):
        return []
    shown = getattr(kind, "__match_args__", ())
    return [(name, field.__get__(value)) for name, field in compiled_fields(kind) if name not in shown]


def capture_match(value: re.Match[Any]) -> Branch:
    """Capture a match by its pattern, its text and the places of its groups."""
    spans = [list(value.span(group)) for group in range(value.re.groups + 1)]
    return Branch("Match", [("pattern", value.re), ("text", value.string), ("spans", spans)])


def capture_bytearray(value: bytearray) -> Leaf:
    """Capture a mutable buffer by a copy of its bytes."""
    return Leaf("value", bytes(value), type(value).__name__, "bytes")


def capture_view(value: memoryview) -> Leaf:
    """Capture a view of a buffer by a copy of its bytes, with the format and shape in which they are seen."""
    traits = (("format", value.format), ("shape", str(value.shape)))
    return Leaf("value", value.tobytes(), "memoryview", "bytes", (), traits)


def capture_ctypes(value: Any) -> Leaf | Branch:
    """Capture a C value by its bytes, if none of them is an address, and its attributes."""
    try:
        value.__reduce_ex__(4)
    except ValueError as error:
        raise NotComparableError(f"{error}; return what they point to") from None
    leaf = Leaf("value", memoryview(value).tobytes(), type(value).__name__, "bytes")
    own = [(name, part) for name, part in read_dict(value) if name != "_wrapper"]  # the shared memory that it is in
    return Branch(leaf.type_name, own, is_object=True, own_leaf=leaf) if own else leaf


HANDLERS: dict[type, Handler] = {
    BaseException: capture_exception,
    bytearray: capture_bytearray,
    memoryview: capture_view,
    mmap.mmap: lambda value: capture_view(memoryview(value)),
    re.Match: capture_match,
    struct.Struct: lambda value: Leaf("value", value.format, "Struct", "str"),
    type(hashlib.sha256()): lambda value: Leaf("value", f"{value.name} {value.hexdigest()}", "HASH", "str"),
    ctypes._SimpleCData: capture_ctypes,
    ctypes.Array: capture_ctypes,
    ctypes.Structure: capture_ctypes,
    ctypes.Union: capture_ctypes,
}

#: Types whose handler reads every attribute of a subclass too.
COMPLETE = (BaseException, ctypes._SimpleCData, ctypes.Array, ctypes.Structure, ctypes.Union)
