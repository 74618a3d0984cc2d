"""The one codec: values of the model to JSON, and JSON that need not be trusted back to values.

A dataclass becomes an object with a key per field, a tuple a list. An integer beyond 2**53, which a JavaScript reader
would round, becomes its digits as text. Infinity and NaN, which JSON lacks, become ``"inf"``, ``"-inf"`` and ``"nan"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
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


def decode(kind: type[T], data: Any, where: str = "") -> T:
    """Return the value of a type that :func:`encode` turned into `data`, which is not trusted.

    Parameters
    ----------
    kind : type
        A dataclass, or a type built of ``tuple``, ``list``, ``dict``, ``| None``, ``Literal``, enumerations, ``str``,
        ``bool``, ``float`` and ``int`` (which must not be negative). Any other union means any JSON.
    data : object
        As a JSON parser returns it.
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
    hint: Any = kind  # mypy takes type[T] for unhashable
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
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _reader(kind: Any) -> _Reader:
    """Return the function that reads one type."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _object_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice_reader([member.value for member in kind], kind)
    if origin is Literal:
        return _choice_reader(arguments, lambda value: value)
    if origin in (Union, UnionType):
        return _optional_reader(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _fixed_reader(tuple(map(_reader, arguments)))
    if origin in (tuple, list):
        return _list_reader(_reader(arguments[0]), origin)
    if origin is dict:
        return _dict_reader(*map(_reader, arguments))
    raise TypeError(f"no reader for {kind}")


def _object_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    parts = [(field.name, _reader(hints[field.name]), _is_required(field)) for field in fields(kind)]
    nullable = {name for name, hint in hints.items() if NoneType in get_args(hint)}

    def read(data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise _MalformedError(f"must be an object, got {_quote(data)}")
        given = {}
        for name, reader, is_required in parts:
            found = data.get(name)
            if found is None and not is_required:
                continue
            if found is None and not (name in nullable and name in data):
                raise _at(f".{name}", _MalformedError("is missing"))
            given[name] = _read_at(f".{name}", reader, found)
        return kind(**given)

    return read


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _choice_reader(choices: Any, make: _Reader) -> _Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, str) or data not in choices:
            raise _MalformedError(f"must be one of {', '.join(sorted(choices))}; got {_quote(data)}")
        return make(data)

    return read


def _optional_reader(members: tuple[Any, ...]) -> _Reader:
    inner = [member for member in members if member is not NoneType]
    if len(inner) > 1:
        return lambda data: data
    reader = _reader(inner[0])
    return lambda data: None if data is None else reader(data)


def _fixed_reader(readers: tuple[_Reader, ...]) -> _Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, (list, tuple)) or len(data) != len(readers):
            raise _MalformedError(f"must be a list of {len(readers)}, got {_quote(data)}")
        return tuple(
            _read_at(f"[{n}]", reader, item) for n, (reader, item) in enumerate(zip(readers, data, strict=True))
        )

    return read


def _list_reader(reader: _Reader, make: _Reader) -> _Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, (list, tuple)):
            raise _MalformedError(f"must be a list, got {_quote(data)}")
        return make(_read_at(f"[{n}]", reader, item) for n, item in enumerate(data))

    return read


def _dict_reader(read_key: _Reader, read_item: _Reader) -> _Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise _MalformedError(f"must be an object, got {_quote(data)}")
        return {
            _read_at(_step(key), read_key, key): _read_at(_step(key), read_item, item) for key, item in data.items()
        }

    return read


def _read_at(step: str, reader: _Reader, data: Any) -> Any:
    try:
        return reader(data)
    except _MalformedError as error:
        raise _at(step, error) from None


def _at(step: str, error: _MalformedError) -> _MalformedError:
    error.path.append(step)
    return error


def _step(key: Any) -> str:
    """Return the step to a key, which may contain control characters."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_quote(key)}]"


def _quote(data: Any) -> str:
    """Return found data for a message: short, printable, without what is in it."""
    if isinstance(data, Mapping):
        return "an object"
    if isinstance(data, (list, tuple)):
        return f"a list of {len(data)}"
    if isinstance(data, str):
        return ascii(data if len(data) <= _MAX_QUOTED else f"{data[:_MAX_QUOTED]}...")
    return {None: "null", True: "true", False: "false"}[data] if data is None or isinstance(data, bool) else str(data)


def _read_text(data: Any) -> str:
    if not isinstance(data, str):
        raise _MalformedError(f"must be text, got {_quote(data)}")
    return data


def _read_flag(data: Any) -> bool:
    if not isinstance(data, bool):
        raise _MalformedError(f"must be true or false, got {_quote(data)}")
    return data


def _read_integer(data: Any) -> int:
    if isinstance(data, str) and data.isascii() and data.isdigit() and len(data) <= MAX_DIGITS:
        return int(data)
    if isinstance(data, bool) or not isinstance(data, int) or data < 0:
        raise _MalformedError(f"must be an integer >= 0, got {_quote(data)}")
    return data


def _read_number(data: Any) -> float:
    is_number = isinstance(data, (int, float)) and not isinstance(data, bool)
    if is_number or data in ("inf", "-inf", "nan"):
        with suppress(OverflowError):
            return float(data)
    raise _MalformedError(f"must be a number, 'inf', '-inf' or 'nan'; got {_quote(data)}")


_SCALARS: dict[Any, _Reader] = {
    str: _read_text,
    bool: _read_flag,
    int: _read_integer,
    float: _read_number,
    Any: lambda data: data,
}
