"""The terms in which an adapter describes a framework's values.

An adapter knows its framework and nothing of paths, copies or limits. `capturing` knows those and no framework. Each of
these names in an adapter is optional:

- ``HANDLERS``, for a capture: type -> function that returns a :class:`~pytest_repro.model.Leaf` (which may share the
  value's memory) or a :class:`Branch` whose children are captured in turn. ``SUBCLASS_HANDLERS`` replace a handler for
  subclasses of its type.
- ``READERS``, for a digest: type -> :class:`Reader`. ``EXACT_READERS`` do not apply to subclasses.
- ``READABLE``: prefixes of modules whose objects keep their state in plain attributes.
- ``find_by_protocol`` and ``find_reader``: handlers and readers of types that no base class identifies.
- ``pytest_repro_capture``: an implementation of the hook of that name, and ``LIBRARY``, whose values it knows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from pytest_repro.model import Leaf

if TYPE_CHECKING:
    import numpy as np

Traits = tuple[tuple[str, str], ...]


class NotComparableError(Exception):
    """A value that cannot be compared bit for bit. The text is the reason and the fix, the caller adds the path."""


class FreshLeaf(Leaf):
    """A leaf with data that no other code can write to, so that it needs no copy."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Branch:
    """A container: its type, its children by name, and its traits.

    Attributes
    ----------
    named : bool
        Children have names of their own (mapping, dataclass, module): as a root they need no prefix.
    whole : bool
        A framework's object, data in all its parts; False for a container that holds whatever the test put in.
    unordered : bool
        Children come in an order without meaning (a set); their names are given once all are known.
    is_object : bool
        An object with state of its own: a part of it that cannot be captured is listed as not compared, and the rest
        is captured. Of a container that the test made, such a part is refused.
    own_leaf : Leaf, optional
        The value itself, where its children are what was added to it: an array with attributes keeps its path.
    """

    type_name: str
    children: Iterable[tuple[str, Any]]
    traits: Traits = ()
    named: bool = False
    whole: bool = True
    unordered: bool = False
    is_object: bool = False
    own_leaf: Leaf | None = None


@dataclass(slots=True, eq=False)
class Internal:
    """A library's own bookkeeping: captured if it can be. If it cannot, the verdict does not depend on it."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Passing:
    """What a run leaves on a value and a copy from a checkpoint does not have: compared between runs, listed elsewhere.

    Attributes
    ----------
    value : object
    what : "gradient", "hook", "function", "tie" (of tensors to each other), "mode" or "parameter of an optimizer"
    is_told : bool
        List it where it is not compared. False for what nearly every value has, which the documentation tells instead.
    """

    value: Any
    what: Literal["gradient", "hook", "function", "tie", "mode", "parameter of an optimizer"]
    is_told: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """A value that belongs to another object: captured if nothing else in the tree holds it."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A tensor that a model holds: which other tensors of the tree are the same one, or have its memory, counts too.

    Attributes
    ----------
    value : tensor
    memory : hashable, optional
        Where its first element lies.
    """

    value: Any
    memory: tuple[str, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class Omitted:
    """A value that is not compared.

    Attributes
    ----------
    reason : str
    is_state : bool
        Whether it may hold a part of the result, so that nothing can be said of the whole.
    type_name : str
        Its type, where that is not the value's own.
    """

    reason: str
    is_state: bool
    type_name: str = ""


Captured = Leaf | Branch | Internal | Passing | Elsewhere | Held | Omitted
Handler = Callable[[Any], Captured]
#: What a handler may return, as types: a value that was converted already is kept.
CONVERTED: tuple[type, ...] = (FreshLeaf, *get_args(Captured))


def make_fresh(captured: Captured) -> Captured:
    """Mark a leaf made from a temporary array, so that it is not copied once more."""
    if type(captured) is not Leaf or captured.form != "array":
        return captured
    return FreshLeaf(captured.form, captured.data, captured.type_name, captured.dtype, captured.shape, captured.traits)


def text_leaf(value: Any) -> Leaf:
    """Capture a value by its text, for types with a complete `str` (a dtype, a device, a path)."""
    return Leaf("value", str(value), type(value).__name__, "str")


class Pairs(NamedTuple):
    """The keys and values of a mapping, in its order."""

    keys: list[Any]
    values: list[Any]


class Parts(list[tuple[str, Any]]):
    """The parts of an object by name."""

    __slots__ = ()


#: The content of a value: bytes, an ndarray of no subclass, unnamed children in order, a mapping, parts, or None if
#: only its type counts.
Node: TypeAlias = "bytes | np.ndarray[Any, Any] | list[Any] | Pairs | Parts | None"


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """Reader of the values of a type while the test's code runs, without a call to methods of that code."""

    read: Callable[[Any], Node]
    #: Describes a value in a short text.
    text: Callable[[Any], str] | None = None
    #: A list, set or dict, described by its children.
    is_container: bool = False
    #: An array or a generator, which is read in the objects of an unknown library too.
    is_data: bool = False
    #: Reads all of the value's state, or the value has none.
    is_complete: bool = False


#: Encoders by exact type. Each also takes a subclass, and then calls none of its methods.
SCALAR_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"n",
    bool: lambda value: b"b1" if value else b"b0",
    int: lambda value: b"i" + hex(value).encode(),
    float: lambda value: b"f" + struct.pack("<d", value),
    complex: lambda value: b"c" + struct.pack("<2d", (plain := complex.__pos__(value)).real, plain.imag),
    str: lambda value: b"s" + str.__str__(value).encode("utf-8", "surrogatepass"),
    bytes: lambda value: b"".join((b"y", value)),
}
