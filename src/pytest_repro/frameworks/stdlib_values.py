"""Python's own values and containers."""

from __future__ import annotations

import datetime
import hashlib
import pathlib
import random
import re
import tempfile
import types
from collections import ChainMap, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np

from pytest_repro.frameworks.attributes import full_name, is_library_class, read_dict
from pytest_repro.frameworks.base_values import (
    SCALAR_ENCODERS,
    Branch,
    FreshLeaf,
    Handler,
    NotComparableError,
    Pairs,
    Parts,
    Reader,
    Traits,
    text_leaf,
)
from pytest_repro.frameworks.compiled_values import read_hidden_fields
from pytest_repro.frameworks.object_values import capture_object, named_attributes, with_additions
from pytest_repro.model import Leaf

#: Encoding of any text, with lone surrogates too.
_UTF8 = ("utf-8", "surrogatepass")


def _plain(kind: type, unwrap: Callable[[Any], Any]) -> Handler:
    # A subclass keeps its name. Its data becomes the built-in, so that no method of the subclass runs later.
    name = kind.__name__

    def capture(value: Any) -> Leaf:
        return Leaf("value", unwrap(value), type(value).__name__, name)

    return capture


def capture_enum(value: Enum) -> Leaf | Branch:
    """Capture a member of an Enum by its name and its value, and what was set on it.

    Of a library's Enum the value belongs to the environment, unless it can change in place. A combination of flags has
    its number in its text.
    """
    name, kind = object.__getattribute__(value, "_name_"), type(value)
    content = _member_value(value)
    traits: Traits = ()
    own = [(key, part) for key, part in sorted(read_dict(value)) if key not in _ENUM_NAMES]
    if not isinstance(value, Flag) and not (is_library_class(kind) and isinstance(content, _CONSTANTS)):
        try:
            traits = (("value", _describe_key_part(content)),)
        except NotComparableError:  # no number and no text
            own.append(("value", content))
    leaf = Leaf("value", f"{name} ({content})" if isinstance(value, Flag) else name, kind.__name__, "str", (), traits)
    return Branch(kind.__name__, own, is_object=True, own_leaf=leaf) if own else leaf


def _member_value(member: Enum) -> Any:
    """Return the value of a member, past a property of that name."""
    return object.__getattribute__(member, "_value_")


#: What `enum` itself keeps on each member, and types of values that no run can change in place.
_ENUM_NAMES = frozenset(["_value_", "_name_", "__objclass__", "_sort_order_", "_hash_", "_inverted_", "_args"])
_CONSTANTS = (str, int, float, complex, bytes, bool, type(None), type, tuple, frozenset, types.FunctionType)


def capture_moment(value: datetime.datetime | datetime.time) -> Leaf | Branch:
    """Capture a date and time with its zone, and with `fold`, which distinguishes the two passes of one hour."""
    return with_zone(Leaf("value", value.isoformat(), type(value).__name__, "str", (), moment_traits(value)), value)


def moment_traits(value: datetime.datetime | datetime.time) -> Traits:
    """Return what the ISO text of a moment does not hold."""
    traits = (("fold", str(value.fold)), ("tzname", str(value.tzname())))
    zone = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "zone", None)  # of zoneinfo, of pytz
    return (*traits, ("zone", str(zone))) if zone else traits


def with_zone(leaf: Leaf, value: datetime.datetime | datetime.time) -> Leaf | Branch:
    """Add the attributes of a zone of the user's own class, on which later moments depend."""
    zone = value.tzinfo
    if zone is None or is_library_class(type(zone)):
        return leaf
    return Branch(leaf.type_name, [("tzinfo", zone)], is_object=True, own_leaf=leaf)


def _capture_timedelta(value: datetime.timedelta) -> Leaf:
    return Leaf("value", value // datetime.timedelta(microseconds=1), type(value).__name__, "int")


def _capture_slice(value: slice) -> Branch:
    return Branch("slice", [("start", value.start), ("stop", value.stop), ("step", value.step)])


def capture_random(value: random.Random) -> Branch:
    """Capture a generator of the standard library by its state."""
    if isinstance(value, random.SystemRandom):
        raise NotComparableError("the operating system's generator has no state; use random.Random(seed)")
    version, words, gauss_next = value.getstate()
    state = np.array(words, dtype=np.uint32)
    leaf = FreshLeaf("array", state, "tuple", "uint32", state.shape)
    return Branch(type(value).__name__, [("version", version), ("state", leaf), ("gauss_next", gauss_next)])


def capture_sequence(value: list[Any] | tuple[Any, ...]) -> Branch:
    """Capture a list or tuple by position, by the base type's own iteration."""
    elements = list(value) if type(value) in (list, tuple) else read_sequence(value)
    return Branch(type(value).__name__, [(str(i), child) for i, child in enumerate(elements)], whole=False)


def capture_tuple(value: tuple[Any, ...]) -> Branch:
    """Capture a tuple by position, or by name if it has names."""
    names = getattr(value, "_fields", None)
    if names is None:
        branch = capture_sequence(value)
        branch.children = [*branch.children, *read_hidden_fields(value)]
        return branch
    return Branch(type(value).__name__, list(zip(names, tuple.__iter__(value), strict=True)), named=True, whole=False)


def capture_deque(value: deque[Any]) -> Branch:
    """Capture a deque by position, with the length at which it drops what came first."""
    children = [(str(i), child) for i, child in enumerate(deque.__iter__(value))]
    traits = () if value.maxlen is None else (("maxlen", str(value.maxlen)),)
    return Branch(type(value).__name__, children, traits, whole=False)


def capture_default_dict(value: defaultdict[Any, Any]) -> Branch:
    """Capture a defaultdict by its keys, and what makes its defaults."""
    captured = capture_mapping(value)
    captured.children = [*captured.children, (".default_factory", value.default_factory)]
    return captured


def capture_ordered_dict(value: OrderedDict[Any, Any]) -> Branch:
    """Capture an OrderedDict by its keys and their order, on which its own equality depends."""
    captured = capture_mapping(value)
    names = [name for name, _ in captured.children]
    if len(names) > 1:
        text = ", ".join(map(repr, names))
        order = text if len(text) <= MAX_TEXT else f"sha256 {hashlib.sha256(text.encode(*_UTF8)).hexdigest()[:16]}"
        captured.traits = (*captured.traits, ("order", order))
    return captured


def capture_set(value: set[Any] | frozenset[Any]) -> Branch:
    """Capture a set by its elements, whatever their order."""
    elements = value if type(value) in (set, frozenset) else read_sequence(value)
    return Branch(type(value).__name__, [("", element) for element in elements], whole=False, unordered=True)


def capture_dataclass(value: Any) -> Branch:
    """Capture a dataclass by its fields, and what else was set on it."""
    own = dict(named_attributes(value))
    missing = [f.name for f in fields(value) if f.name not in own and not hasattr(value, f.name)]
    if missing:
        raise NotComparableError(f"its field {missing[0]!r} was never set; set it, or remove it from the dataclass")
    # A field may be a property, which keeps its value elsewhere.
    children = [(f.name, own.pop(f.name) if f.name in own else getattr(value, f.name)) for f in fields(value)]
    return Branch(type(value).__name__, [*children, *own.items()], named=True, whole=False)


def capture_mapping(value: Mapping[Any, Any]) -> Branch:
    """Capture a mapping by its keys, whatever their order, and a dict by its own entries, whatever a subclass shows."""
    items = list(dict.items(value) if isinstance(value, dict) else value.items())
    if all(type(key) is str for key, _ in items):
        return Branch(type(value).__name__, items, named=True, whole=False)
    try:
        children = [(_describe_key(key), child) for key, child in items]
        traits = _key_types([key for key, _ in items])
    except NotComparableError:
        # Keys without a text of their own (tensors, objects): by position, since a mapping keeps its order.
        pairs = [Branch("entry", [("key", key), ("value", child)], whole=False) for key, child in items]
        return Branch(type(value).__name__, [(f"entry {i}", pair) for i, pair in enumerate(pairs)], whole=False)
    return Branch(type(value).__name__, children, traits, named=True, whole=False)


def _key_types(keys: list[Any]) -> tuple[tuple[str, str], ...]:
    # {1: x} and {"1": x} have the same path and are not equal.
    names = {type(key).__name__ for key in keys}
    members = [key for key in keys if isinstance(key, Enum) and not is_library_class(type(key))]
    values = [f"{_describe_key(key)} = {_describe_key_part(_member_value(key))}" for key in members]
    traits = (("key values", ", ".join(sorted(values))),) if values else ()
    if len(names) == 1:
        return (("keys", names.pop()), *traits)
    return (("keys", ", ".join(sorted(f"{type(key).__name__} {_describe_key(key)}" for key in keys))), *traits)


def _describe_key(key: Any) -> str:
    if type(key).__dictoffset__ and not isinstance(key, (Enum, type)) and read_dict(key):
        raise NotComparableError("its key has attributes of its own")
    if isinstance(key, str) and not isinstance(key, Enum):
        return str.__str__(key)
    if isinstance(key, (Enum, bool, int, float, complex, bytes, Decimal, Fraction, datetime.date, datetime.timedelta)):
        return str(key)
    if key is None or isinstance(key, (np.generic, np.dtype, pathlib.PurePath, UUID)):
        return str(key)
    if isinstance(key, type):
        return f"{key.__module__}.{key.__qualname__}"
    if isinstance(key, (tuple, frozenset)):
        parts = map(_describe_key_part, key)
        return f"({', '.join(parts)})" if isinstance(key, tuple) else f"{{{', '.join(sorted(parts))}}}"
    raise NotComparableError(
        f"its key of type {type(key).__name__} has no text that is the same in each run; "
        "use keys that are text, numbers or tuples of these"
    )


def _describe_key_part(part: Any) -> str:
    text = _describe_key(part)
    if type(part) is str:
        return repr(text)
    return text if type(part) in (int, float, bool, type(None), tuple, frozenset) else f"{type(part).__name__} {text}"


HANDLERS: dict[type, Handler] = {
    bool: lambda value: Leaf("value", value, "bool", "bool"),
    int: _plain(int, int.__int__),
    float: lambda value: Leaf("value", value, "float", "float"),
    complex: _plain(complex, complex.__pos__),
    list: capture_sequence,
    tuple: capture_tuple,
    deque: capture_deque,
    set: capture_set,
    frozenset: capture_set,
    dict: capture_mapping,
    defaultdict: capture_default_dict,
    OrderedDict: capture_ordered_dict,
    types.SimpleNamespace: lambda value: Branch(type(value).__name__, named_attributes(value), named=True, whole=False),
    type(None): lambda value: Leaf("value", None, "NoneType", "None"),
    str: _plain(str, str.__str__),
    bytes: _plain(bytes, lambda value: b"".join([value])),
    datetime.datetime: capture_moment,
    datetime.time: capture_moment,
    datetime.date: lambda value: Leaf("value", value.isoformat(), type(value).__name__, "str"),
    datetime.timedelta: _capture_timedelta,
    datetime.timezone: text_leaf,
    Decimal: text_leaf,
    Fraction: text_leaf,
    UUID: text_leaf,
    pathlib.PurePath: text_leaf,
    range: lambda value: Leaf("value", repr(value), "range", "str"),
    slice: _capture_slice,
    random.Random: capture_random,
    ChainMap: capture_object,
    type(Ellipsis): text_leaf,
    type(NotImplemented): text_leaf,
}

#: Types whose handler reads every attribute of a subclass too.
COMPLETE = (types.SimpleNamespace, ChainMap)

#: Handlers of subclasses, where the exact type has a faster one.
SUBCLASS_HANDLERS: dict[type, Handler] = {float: _plain(float, float.__float__)}


def find_by_protocol(kind: type) -> Handler | None:
    """Find the handler of dataclasses and mappings, which have no base class in common."""
    if hasattr(kind, "__dataclass_fields__"):
        return capture_dataclass
    if issubclass(kind, Mapping):
        return with_additions(capture_mapping, dict, kind)
    return None


_ITERATORS = frozenset(
    ["async_generator", "coroutine", "enumerate", "filter", "generator", "itertools.repeat", "map", "zip"]
)


def explain_refusal(kind: type) -> str:
    """Explain why a value of this type cannot be compared, and what to return instead."""
    name = full_name(kind)
    if name in ("dict_keys", "dict_values", "dict_items"):
        return "it is a view of a dict; return list(...) of it, or the dict"
    if name in _ITERATORS or name.endswith("iterator"):
        return "reading it would exhaust it; return list(...) of it"
    return "this type is not known; return its arrays, numbers or text, for example as a dict or a dataclass"


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_RANDOM_FOLDER = re.compile(
    r"(?:tmp[a-z0-9_]{6,10}|pytest-of-[^/\\]+[/\\]pytest-\d+|pytest-repro-[a-z0-9_]+"
    r"(?:[/\\]test-[0-9a-f]+[/\\]\d+-[0-9a-f]+)?)"
)
MAX_TEXT = 160


def normalise(text: str) -> str:
    """Replace addresses and the names of temporary folders, which differ between any two runs."""
    if "0x" in text:
        text = _ADDRESS.sub("0x...", text)
    if "tmp" in text or "pytest-" in text:
        text = _RANDOM_FOLDER.sub("<tmp>", text)
        folder = tempfile.tempdir
        if folder and folder in text:
            text = text.replace(folder, "<tmp>")
    return text


def read_sequence(value: Any) -> list[Any]:
    """Read a list, tuple or set in its order of iteration, by the base type's own method."""
    base: Any = next(base for base in (list, tuple, set, frozenset) if issubclass(type(value), base))
    return list(base.__iter__(value))


def _read_dict(value: dict[Any, Any]) -> Pairs:
    # Also of an OrderedDict: its own methods look each key up, which calls the key's __hash__.
    return Pairs(list(dict.keys(value)), list(dict.values(value)))


def _read_enum(value: Enum) -> bytes:
    return f"{type(value).__qualname__}.{object.__getattribute__(value, '_name_')}".encode()


def _path_text(value: pathlib.PurePath) -> str:
    return pathlib.PurePath.__str__(value)


def _int_text(value: int) -> str:
    return repr(value) if value.bit_length() < 400 else f"int of {value.bit_length()} bits"


def _head_text(value: str | bytes) -> str:
    return repr(value[:MAX_TEXT])


def _encode_normalised(text: str) -> bytes:
    return normalise(text).encode(*_UTF8)


_TEXTS: dict[type, Callable[[Any], str]] = {int: _int_text, str: _head_text, bytes: _head_text}
_BY_REPR = Reader(lambda value: repr(value).encode(), repr)
_NOTHING = Reader(lambda value: None, is_complete=True)
_SEQUENCE = Reader(read_sequence, is_container=True)
_CODE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.GeneratorType,
    types.CoroutineType,
    types.CodeType,
    types.FrameType,
)

#: Subclasses too: by the base type's own methods, whatever they override.
READERS: dict[type, Reader] = {
    **{kind: Reader(encode) for kind, encode in SCALAR_ENCODERS.items()},
    str: Reader(lambda value: _encode_normalised(str.__str__(value))),
    bytearray: Reader(lambda value: b"".join((value,)), is_complete=True),
    memoryview: Reader(bytes, is_complete=True),
    list: _SEQUENCE,
    tuple: _SEQUENCE,
    set: _SEQUENCE,
    frozenset: _SEQUENCE,
    dict: Reader(_read_dict, is_container=True),
    Enum: Reader(_read_enum, is_complete=True),
    pathlib.PurePath: Reader(lambda value: _encode_normalised(_path_text(value)), _path_text),
    # A subclass has a state of its own, which only its own methods return.
    random.Random: Reader(lambda value: None, is_data=True, is_complete=True),
    **dict.fromkeys([*_CODE, BaseException], _NOTHING),
}

EXACT_READERS: dict[type, Reader] = {
    **{kind: replace(READERS[kind], text=_TEXTS.get(kind, repr)) for kind in SCALAR_ENCODERS},
    **dict.fromkeys([range, slice, Decimal, Fraction, UUID, type(Ellipsis), type(NotImplemented)], _BY_REPR),
    **dict.fromkeys([datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone], _BY_REPR),
    random.Random: Reader(
        lambda value: Parts([("state", random.Random.getstate(value))]), is_data=True, is_complete=True
    ),
}

#: Modules whose objects keep their state in plain attributes.
READABLE = ("collections",)
