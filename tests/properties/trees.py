"""Random trees of every kind of value that is captured, made twice alike or with one leaf changed by one bit.

A tree is a function of its seed. The number of its leaves is known once it was made; made again with `changed` it is
the same but for that leaf.
"""

from __future__ import annotations

import array
import collections
import ctypes
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import logging
import operator
import os
import pathlib
import random
import re
import struct
import threading
import types
import typing
import unittest.mock
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_DEPTH = 4


class Plain:
    pass


class Slotted:
    __slots__ = ("first", "second")


class Both(Slotted):
    __slots__ = ("__dict__",)


class Guarded:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read as by the user")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared as by the user")

    __hash__ = object.__hash__


@dataclasses.dataclass
class Record:
    first: Any
    second: Any = None


@dataclasses.dataclass
class RecordOverDict(dict):  # type: ignore[type-arg]
    first: Any = None


class Named(typing.NamedTuple):
    first: Any
    second: Any = None


class NamedWithMore(Named):
    pass


class OwnList(list):  # type: ignore[type-arg]
    pass


class OwnDict(dict):  # type: ignore[type-arg]
    pass


class OwnFloat(float):
    pass


class OwnText(str):
    pass


class OwnArray(np.ndarray):
    __slots__ = ("scale",)


class Model:
    def __init__(self, weight: Any) -> None:
        self.weight = weight

    def predict(self) -> Any:
        return self.weight


class Zone(datetime.tzinfo):
    def __init__(self, number: int) -> None:
        self.number = number

    def utcoffset(self, moment: object) -> datetime.timedelta:
        return datetime.timedelta(0)

    def dst(self, moment: object) -> None:
        return None

    def tzname(self, moment: object) -> str:
        return "zone"


class Colour(enum.Enum):
    RED = 0
    GREEN = 1


def _flip(data: bytes, rng: random.Random) -> bytes:
    """Change one bit."""
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _integer(rng: random.Random, bit: random.Random | None) -> int:
    value = rng.choice([0, 1, -1, 7, 2**31, -(2**70), rng.getrandbits(60)])
    return value if bit is None else value ^ (1 << bit.randrange(64))


def _float(rng: random.Random, bit: random.Random | None) -> float:
    value = rng.choice([0.0, -0.0, 1.5, 1e-310, 1e300, float("inf"), float("nan"), rng.random()])
    data = struct.pack("<d", value)
    number: float = struct.unpack("<d", data if bit is None else _flip(data, bit))[0]
    return number


def _text(rng: random.Random, bit: random.Random | None) -> str:
    value = rng.choice(["a", "été", "a/b", "0", "x" * 50, "\ud800", "line\nbreak"])
    if bit is None:
        return value
    at = bit.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ (1 << bit.randrange(4))) + value[at + 1 :]


def _bytes(rng: random.Random, bit: random.Random | None) -> bytes:
    value = rng.randbytes(rng.randrange(1, 20))
    return value if bit is None else _flip(value, bit)


#: dtype -> bytes of an element that count.
_DTYPES = {
    **dict.fromkeys(["f8", "i8", "u8", "c8", "M8[ns]", "m8[s]", ">f8"], 8),
    **dict.fromkeys(["f4", "i4", ">i4"], 4),
    "f2": 2,
    "i1": 1,
    "c16": 16,
}


def _array(rng: random.Random, bit: random.Random | None) -> np.ndarray[Any, Any]:
    dtype = rng.choice([*_DTYPES])
    shape = rng.choice([(1,), (3,), (2, 3), (2, 1, 2), ()])
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = rng.randbytes(size)
    made = np.frombuffer(data if bit is None else _flip(data, bit), dtype).reshape(shape).copy()
    layout = rng.randrange(5)
    if layout == 1:
        return np.asfortranarray(made)
    if layout == 2 and made.ndim:
        return np.repeat(made, 2, axis=0)[::2]
    if layout == 3:
        return np.broadcast_to(made, (3, *made.shape))
    return made


def _special_array(rng: random.Random, bit: random.Random | None) -> Any:
    which, numbers = rng.randrange(7), [rng.random() for _ in range(3)]
    if bit is not None and which not in (0, 1, 2):
        numbers[bit.randrange(3)] += 1.0
    if which == 0:
        return np.array([True, bit is None, False])
    if which == 1:
        return np.array(["ab", "b" if bit is None else "c"])
    if which == 2:
        return np.array([b"ab", b"b" if bit is None else b"c"])
    if which == 3:
        return np.array([(1, x) for x in numbers], dtype=[("a", "i4"), ("b", "f8")])
    if which == 4:
        return np.ma.masked_array([1.0, *numbers], mask=[True, False, False, False])
    if which == 5:
        return np.array([None, "a", *numbers], dtype=object)
    return np.array(numbers).astype(rng.choice(["f4", "f8"]))[1 if bit is None else 0]


def _generator(rng: random.Random, bit: random.Random | None) -> Any:
    seed, draws = rng.randrange(100), 1 + (bit is not None)
    if rng.random() < 0.3:
        python = random.Random(seed)
        for _ in range(draws):
            python.random()
        return python
    if rng.random() < 0.5:
        legacy = np.random.RandomState(seed)
        legacy.rand(draws)
        return legacy
    own = np.random.default_rng(seed)
    own.random(draws)
    return own


def _small(rng: random.Random, bit: random.Random | None) -> Any:
    """Make a value of a smaller type of the standard library."""
    number = rng.randrange(1, 1000) + (bit is not None)
    makers: list[Callable[[], Any]] = [
        lambda: decimal.Decimal(number),
        lambda: fractions.Fraction(number, 7),
        lambda: uuid.UUID(int=number),
        lambda: datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=number),
        lambda: datetime.date(2020, 1, 1) + datetime.timedelta(days=number),
        lambda: datetime.timedelta(microseconds=number),
        lambda: pathlib.PurePosixPath(f"a/{number}"),
        lambda: range(number),
        lambda: slice(number, None),
        lambda: complex(1.5, number),
        lambda: bool(number % 2),
        lambda: Colour.RED if bit is None else Colour.GREEN,
        lambda: enum.Enum("Made", {"A": number}).A,  # type: ignore[attr-defined]
        lambda: {enum.IntEnum("Made", {"A": number}).A: 0},  # type: ignore[attr-defined]
        lambda: bytearray(str(number).encode()),
        lambda: memoryview(str(number).encode()),
        lambda: array.array("d", [number]),
        lambda: io.BytesIO(str(number).encode()),
        lambda: itertools.count(number),
        lambda: operator.itemgetter(number),
        lambda: ValueError(number),
        lambda: len if bit is None else sum,
        lambda: Plain if bit is None else Slotted,
        lambda: None if bit is None else 0,
        lambda: OwnFloat(number),
        lambda: OwnText(number),
        lambda: datetime.datetime(2020, 1, 1, tzinfo=Zone(number)),
        lambda: collections.OrderedDict([("a", 1), ("b", 2)][:: 1 if bit is None else -1]),
        lambda: OSError(2, "x", f"file {number}"),
        lambda: os.stat_result(range(10), {"st_mtime_ns": number}),
        lambda: threading.Semaphore(number),
        lambda: logging.LoggerAdapter(logging.getLogger("x"), {"number": number}),
        lambda: re.search(str(number), f"a{number}"),
        lambda: ctypes.c_double(number),
        lambda: unittest.mock.Mock(return_value=number),
    ]
    return rng.choice(makers)()


Leaf = Callable[[random.Random, "random.Random | None"], Any]
LEAVES: list[Leaf] = [_integer, _float, _text, _bytes, _array, _array, _special_array, _generator, _small, _small]


class Tree:
    """One tree, made from a seed.

    Parameters
    ----------
    seed : int
    changed : int, optional
        Number of the leaf that is changed by one bit.
    leaves : list of functions
        Kinds of leaves: each makes one from a generator of its content and, if it is to be changed, one of the bit.
    """

    def __init__(self, seed: int, changed: int | None = None, leaves: list[Leaf] = LEAVES) -> None:
        self._rng = random.Random(seed)
        self._leaves = leaves
        self._changed = changed
        self.count = 0
        #: Whether it holds what two values at one time are compared without, such as attributes of classes.
        self.has_surroundings = False
        self._objects: list[Any] = []
        self.value = [self._make(0), self._make_leaf()]

    def _make(self, depth: int) -> Any:
        if depth >= MAX_DEPTH or self._rng.random() < 0.35:
            return self._make_leaf()
        if self._objects and self._rng.random() < 0.15:
            return self._rng.choice(self._objects)
        return self._rng.choice(_CONTAINERS)(self, depth + 1)

    def _make_leaf(self) -> Any:
        number, self.count = self.count, self.count + 1
        make = self._rng.choice(self._leaves)
        self.has_surroundings |= getattr(make, "has_surroundings", False)
        content = random.Random(self._rng.getrandbits(60))
        bit = random.Random(number) if number == self._changed else None
        return make(content, bit)

    def _children(self, depth: int) -> list[Any]:
        return [self._make(depth) for _ in range(self._rng.randrange(1, 4))]

    def _sequence(self, depth: int) -> Any:
        return self._rng.choice([list, tuple, collections.deque, OwnList])(self._children(depth))

    def _mapping(self, depth: int) -> Any:
        kind = self._rng.choice([dict, collections.OrderedDict, OwnDict, collections.UserDict])
        keys: list[Any] = self._rng.choice([["a", "b", "c"], [1, 2, 3], [(1, "x"), (2, "y"), None], ["x", "x/y", "z"]])
        return kind(zip(keys, self._children(depth), strict=False))

    def _keyed(self, depth: int) -> Any:
        """Make a mapping whose key is a leaf."""
        number, self.count = self.count, self.count + 1
        bit = random.Random(number) if number == self._changed else None
        return {_text(random.Random(depth), bit): self._make(depth)}

    def _set(self, depth: int) -> Any:
        number, self.count = self.count, self.count + 1
        changes = number == self._changed
        return self._rng.choice([set, frozenset])([1, "a", 2.5 if not changes else 2.25, (3, b"x")])

    def _record(self, depth: int) -> Any:
        kind = self._rng.choice([Record, Named, NamedWithMore, RecordOverDict])
        value = kind(self._make(depth))
        if kind in (NamedWithMore, Record):
            value.more = self._make(depth)
        if kind is RecordOverDict:
            value["first"] = self._make(depth)
        return value

    def _object(self, depth: int) -> Any:
        kind = self._rng.choice([Plain, Slotted, Both, Guarded])
        value = kind()
        self._objects.append(value)
        value.first = self._make(depth)
        value.second = self._rng.choice([value, None]) if self._rng.random() < 0.5 else self._make(depth)
        if kind is not Slotted:
            value.third = self._make(depth)
        return value

    def _subclassed(self, depth: int) -> Any:
        """Make a value of a known type, with an attribute of its own."""
        which = self._rng.randrange(5)
        if which == 0:
            made = np.zeros(2).view(OwnArray)
            made.scale = self._make(depth)
            return made
        value: Any = [OwnList([1]), OwnDict(first=1), OwnFloat(1), OwnText("a")][which - 1]
        value.first = self._make(depth)
        return value

    def _function(self, depth: int) -> Any:
        held = self._make(depth)
        which = self._rng.randrange(4)
        if which == 0:
            return lambda: held
        if which == 1:
            return lambda x, y=held: x
        if which == 2:
            return functools.partial(max, held, key=held)
        return Model(held).predict

    def _made_class(self, depth: int) -> Any:
        """Make an object of a class that holds a value: as an attribute, or in what a method has closed over."""
        self.has_surroundings = True
        held, which = self._make(depth), self._rng.randrange(3)
        if which == 0:
            return type("Kept", (Plain,), {"state": [held]})()

        class Made:
            def predict(self) -> Any:
                return held

        return Made() if which == 1 else Made

    def _hidden(self, depth: int) -> Any:
        """Make a member of an Enum, an object with an attribute whose name is a number, or an error with more to it."""
        which, held = self._rng.randrange(4), self._make(depth)
        if which == 3:
            return enum.Enum("Made", {"A": [held]}).A  # type: ignore[attr-defined]
        value: Any = Plain() if which == 0 else ValueError("x")
        if which == 0:
            value.__dict__[1] = held
        elif which == 1:
            value.more = held
        else:
            value.__cause__ = KeyError(held)
        return value

    def _namespace(self, depth: int) -> Any:
        return types.SimpleNamespace(first=self._make(depth), second=self._make(depth))

    def _nested_array(self, depth: int) -> Any:
        made = np.empty(2, dtype=object)
        made[0], made[1] = self._make(depth), self._make(depth)
        return made


_CONTAINERS: list[Callable[[Tree, int], Any]] = [
    Tree._sequence,
    Tree._mapping,
    Tree._keyed,
    Tree._set,
    Tree._record,
    Tree._object,
    Tree._object,
    Tree._subclassed,
    Tree._function,
    Tree._made_class,
    Tree._hidden,
    Tree._namespace,
    Tree._nested_array,
]
