"""A value in a short line, without addresses; nothing of the user's is called."""

from __future__ import annotations

import enum
import pathlib
import random
from typing import Any

import numpy as np

from pytest_repro.numerics.array_digest import describe_array
from pytest_repro.tracing.parts import ADAPTERS, BY_REPR, OPAQUE, SCALARS, is_readable, normalise

LONGEST_TEXT = 160
#: Ends the text of an object of which only a part is read: two that look alike may differ.
IN_PART = " (read in part)"
#: Objects that are read by means of their own.
_WHOLE = (
    enum.Enum,
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    np.random.BitGenerator,
    np.random.SeedSequence,
)


def describe(value: object) -> str:
    """Say a value in a short line that holds no address."""
    try:
        text = _describe(value)
    except Exception as error:
        text = f"{type(value).__name__} ({type(error).__name__})"
    return normalise(text)[:LONGEST_TEXT]


def _describe(value: Any) -> str:
    kind = type(value)
    name = kind.__name__
    for adapter in ADAPTERS.values():
        if (text := adapter.text(value)) is not None:
            return text
    if kind in (str, bytes):
        return repr(value[:LONGEST_TEXT])
    if kind is int:
        return repr(value) if value.bit_length() < 400 else f"int of {value.bit_length()} bits"
    if kind in SCALARS or kind in BY_REPR:
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
    if origin == "builtins" or issubclass(kind, (*OPAQUE, *_WHOLE)):
        return False
    return not is_readable(origin)


def _describe_item(value: Any) -> str:
    return (
        _describe(value)[:24] if type(value) in SCALARS or issubclass(type(value), np.generic) else type(value).__name__
    )
