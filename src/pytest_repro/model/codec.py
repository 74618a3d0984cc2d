"""The one codec: values of the model to JSON, and JSON that need not be trusted back to values.

A dataclass becomes an object with a key per field, a tuple a list. An integer beyond 2**53, which a JavaScript reader
would round, becomes its digits as text. Infinity and NaN, which JSON lacks, become ``"inf"``, ``"-inf"`` and ``"nan"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pytest_repro.errors import StoreError

#: A reader that has only doubles rounds integers beyond it.
MAX_SAFE_INTEGER = 2**53
#: Longest integer that is read [digits]: int() takes quadratic time.
MAX_DIGITS = 40
#: Longest text that an error message quotes [characters].
_MAX_QUOTED = 40
_HEXADECIMAL = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p(?:-\d{1,4}|\+(?:\d{1,3}|10[01]\d|102[0-3]))")

T = TypeVar("T")
_Reader = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Return a value of the model in built-in types, as JSON and execnet require.

    Raises
    ------
    TypeError
        If something in it has no form in JSON.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        integer = int(value)
        return integer if abs(integer) <= MAX_SAFE_INTEGER else str(integer)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if is_dataclass(value):
        kind: Any = type(value)
        return {name: encode(getattr(value, name)) for name in _names(kind)}
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def read_float(value: object) -> float | None:
    """Return the finite number that canonical JSON has as ``float.hex()``, or None for any other value."""
    return float.fromhex(value) if isinstance(value, str) and _HEXADECIMAL.fullmatch(value) else None


def decode(kind: type[T], data: Any, where: str = "") -> T:
    """Return the value of a type that :func:`encode` turned into `data`, which is not trusted.

    Parameters
    ----------
    kind : type
        A dataclass, or a type built of ``tuple``, ``list``, ``dict``, ``| None``, ``Literal``, enumerations, ``str``,
        ``bool``, ``float`` and ``int`` (which must not be negative). Any other union means any JSON.
    data : object
        As a JSON parser returns it; canonical JSON has floats as ``float.hex()``.
    where : str
        Its place, for the error message.

    Raises
    ------
    StoreError
        If something is missing or of another type. The message says where and what was expected.

    Notes
    -----
    Unknown keys are ignored: a later release may add some. A null counts as absent where the field has a default.
    """
    hint: Any = kind  # mypy considers type[T] unhashable
    try:
        value: T = _reader(hint)(data)
    except _MalformedError as error:
        place = (where + "".join(reversed(error.path))).removeprefix(".")
        raise StoreError(f"{place or 'the document'} {error.problem}") from None
    return value


class _MalformedError(Exception):
    """Data that is not as expected, with the path to it, which grows on the way up."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []


@cache
def _reader(kind: Any) -> _Reader:
    """Return the function that reads one type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if is_dataclass(kind):
        return partial(_read_object, kind, _parts(kind))
    if origin is Literal:
        return partial(_read_choice, {choice: choice for choice in arguments})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return partial(_read_choice, {member.value: member for member in kind})
    if origin in (Union, UnionType):
        members = [member for member in arguments if member is not NoneType]
        return partial(_read_optional, _reader(members[0])) if len(members) == 1 else lambda data: data
    if origin is tuple and arguments[-1] is not Ellipsis:
        return partial(_read_fixed, tuple(map(_reader, arguments)))
    if origin in (tuple, list):
        return partial(_read_list, origin, _reader(arguments[0]))
    if origin is dict:
        return partial(_read_dict, *map(_reader, arguments))
    raise TypeError(f"no reader for {kind}")


def _parts(kind: Any) -> list[tuple[str, _Reader, bool, bool]]:
    """Return name and reader of each field, and whether it may be absent, or null."""
    hints = get_type_hints(kind)
    return [
        (
            field.name,
            _reader(hints[field.name]),
            field.default is not MISSING or field.default_factory is not MISSING,
            NoneType in get_args(hints[field.name]),
        )
        for field in fields(kind)
    ]


def _read_object(kind: Any, parts: list[tuple[str, _Reader, bool, bool]], data: Any) -> Any:
    _check(isinstance(data, Mapping), "an object", data)
    found = {}
    for name, reader, has_default, is_nullable in parts:
        value = data.get(name)
        if value is None and has_default:
            continue
        is_missing = value is None and not (is_nullable and name in data)
        found[name] = _read_at(f".{name}", _fail_missing if is_missing else reader, value)
    return kind(**found)


def _read_choice(choices: dict[str, Any], data: Any) -> Any:
    if not isinstance(data, str) or data not in choices:
        _check(False, f"one of {', '.join(sorted(choices))}", data)
    return choices[data]


def _read_optional(reader: _Reader, data: Any) -> Any:
    return None if data is None else reader(data)


def _read_fixed(readers: tuple[_Reader, ...], data: Any) -> Any:
    _check(isinstance(data, (list, tuple)) and len(data) == len(readers), f"a list of {len(readers)}", data)
    return tuple(_read_at(f"[{n}]", reader, data[n]) for n, reader in enumerate(readers))


def _read_list(make: _Reader, reader: _Reader, data: Any) -> Any:
    _check(isinstance(data, (list, tuple)), "a list", data)
    return make(_read_at(f"[{n}]", reader, item) for n, item in enumerate(data))


def _read_dict(read_key: _Reader, read_item: _Reader, data: Any) -> Any:
    _check(isinstance(data, Mapping), "an object", data)
    return {_read_at(_step(key), read_key, key): _read_at(_step(key), read_item, item) for key, item in data.items()}


def _read_text(data: Any) -> str:
    _check(isinstance(data, str), "text", data)
    return str(data)


def _read_flag(data: Any) -> bool:
    _check(isinstance(data, bool), "true or false", data)
    return bool(data)


def _read_integer(data: Any) -> int:
    if isinstance(data, str) and data.isascii() and data.isdigit() and len(data) <= MAX_DIGITS:
        return int(data)
    _check(isinstance(data, int) and not isinstance(data, bool) and data >= 0, "an integer >= 0", data)
    return int(data)


def _read_number(data: Any) -> float:
    is_number = isinstance(data, (int, float)) and not isinstance(data, bool)
    if is_number or data in ("inf", "-inf", "nan"):
        with suppress(OverflowError):
            return float(data)
    number = read_float(data)
    _check(number is not None, "a number, 'inf', '-inf' or 'nan'", data)
    return number or 0.0


_SCALARS: dict[Any, _Reader] = {str: _read_text, bool: _read_flag, int: _read_integer, float: _read_number}


def _fail_missing(data: Any) -> Any:
    raise _MalformedError("is missing")


def _check(is_right: bool, expected: str, data: Any) -> None:
    if not is_right:
        raise _MalformedError(f"must be {expected}, got {_quote(data)}")


def _read_at(step: str, reader: _Reader, data: Any) -> Any:
    try:
        return reader(data)
    except _MalformedError as error:
        error.path.append(step)
        raise


def _step(key: Any) -> str:
    """Return the step to a key, which may contain control characters."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_quote(key)}]"


def _quote(data: Any) -> str:
    """Return found data for a message: short and printable, without its content."""
    if isinstance(data, Mapping):
        return "an object"
    if isinstance(data, (list, tuple)):
        return f"a list of {len(data)}"
    if isinstance(data, str):
        return ascii(data if len(data) <= _MAX_QUOTED else f"{data[:_MAX_QUOTED]}...")
    return str(data).lower() if isinstance(data, bool) else "null" if data is None else str(data)
