"""What an adapter says of a value: a leaf, a branch with children, or a refusal.

An adapter knows its framework and nothing of paths, copies or limits; `capturing` knows those and no
framework. A handler takes a value and returns a :class:`~pytest_repro.model.Leaf` that may share the value's
memory, or a :class:`Branch` whose children are captured in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_repro.model import Leaf

Traits = tuple[tuple[str, str], ...]


class NotComparableError(Exception):
    """A value cannot be compared bit for bit; the text is the reason and the fix, the caller adds the path."""


class FreshLeaf(Leaf):
    """A leaf whose data nobody else holds or can write to: no copy is needed."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Branch:
    """A container: its type, its children by name, and what else must agree.

    Attributes
    ----------
    named : bool
        Children have names of their own (mapping, dataclass, module): as a root they need no prefix.
    whole : bool
        A framework's object, data in all its parts; False for a container that holds whatever the user put in.
    unordered : bool
        Children come in an order without meaning (a set); their names are given once all are known.
    """

    type_name: str
    children: Iterable[tuple[str, Any]]
    traits: Traits = ()
    named: bool = False
    whole: bool = True
    unordered: bool = False


@dataclass(slots=True, eq=False)
class Droppable:
    """A private attribute: captured where that is possible, left out as a whole where it is not."""

    value: Any


Captured = Leaf | Branch | Droppable
Handler = Callable[[Any], Captured]


def make_fresh(captured: Captured) -> Captured:
    """Mark a leaf made from a temporary array, so that it is not copied once more."""
    if type(captured) is not Leaf or captured.form != "array":
        return captured
    return FreshLeaf(captured.form, captured.data, captured.type_name, captured.dtype, captured.shape, captured.traits)


def text_leaf(value: Any) -> Leaf:
    """Capture a value by its text, for types whose `str` says all of it (a dtype, a device, a path)."""
    return Leaf("value", str(value), type(value).__name__, "str")
