"""Objects of classes that no adapter knows, and what a subclass adds to a type that one knows."""

from __future__ import annotations

import copyreg
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_repro.frameworks.attributes import (
    COMPILER_NOTES,
    has_hidden_state,
    library_names,
    package_of,
    read_attributes,
)
from pytest_repro.frameworks.base_values import (
    Branch,
    Captured,
    Handler,
    NotComparableError,
    Omitted,
)
from pytest_repro.model import Leaf

#: What pickle's protocol calls to make an object again: a part of the protocol and not of the object.
_PROTOCOL = 4


def capture_object(value: object) -> Branch:
    """Capture an object by its attributes and slots, in the order of their names."""
    return Branch(type(value).__name__, named_attributes(value), named=True, is_object=True)


def named_attributes(value: object, skipped: Iterable[str] = ()) -> list[tuple[str, Any]]:
    """Return an object's attributes and slots sorted by name, each name once, without the skipped ones."""
    found: dict[str, Any] = {}
    for name, part in read_attributes(value):
        # A slot that a base class has under the same name is another one.
        while name in found:
            name += "'"
        found[name] = part
    for name in skipped:
        found.pop(name, None)
    return sorted(found.items())


def capture_by_reduction(value: Any) -> Captured:
    """Capture an object of compiled code by what pickle would save of it, which is all that it needs to be made again.

    Nothing is pickled: the parts are captured as any other values.
    """
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # itertools' objects say that pickling them will end
            reduced = reduce(value) if reduce is not None else value.__reduce_ex__(_PROTOCOL)
    except (TypeError, NotImplementedError, AttributeError):
        raise NotComparableError("") from None
    if isinstance(reduced, str):
        return Leaf("value", reduced, type(value).__name__, "str")
    names = ("made_by", "arguments", "state", "items", "entries")
    children = []
    for name, part in zip(names, reduced, strict=False):
        if part is None or part == ():
            continue
        children.append((name, list(part) if name in ("items", "entries") else part))
    return Branch(type(value).__name__, children, is_object=True)


def find_for_object(kind: type) -> Handler | None:
    """Find the handler of a type that no adapter knows: by its attributes, or by what pickle would save."""
    if not has_hidden_state(kind):
        return capture_object
    # Of an iterator pickle would save the way in which it goes on, not what comes.
    return None if issubclass(kind, Iterator) else capture_by_reduction


def with_additions(handler: Handler, base: type, kind: type) -> Handler:
    """Return the handler of a subclass: that of the base it is known by, and what the subclass adds to it.

    A library's own subclasses are known wholly by its adapter.
    """
    if package_of(kind) == package_of(base):
        return handler
    return lambda value: add_attributes(value, handler(value))


def add_attributes(value: Any, captured: Captured) -> Captured:
    """Add the attributes that no library sets to what is captured of a value."""
    kind = type(value)
    owned = library_names(kind)
    added = [(name, part) for name, part in named_attributes(value, COMPILER_NOTES) if name not in owned]
    if not added or not isinstance(captured, (Leaf, Branch, Omitted)):
        return captured
    if isinstance(captured, Omitted):  # a thread or a process of the user's class, which keeps what it computed
        return Branch(kind.__name__, added, is_object=True)
    return _join(kind, captured, added)


def _join(kind: type, captured: Leaf | Branch, added: list[tuple[str, Any]]) -> Branch:
    if isinstance(captured, Leaf) or captured.unordered:
        captured = Branch(kind.__name__, [("data", captured)])
    children = list(captured.children)
    known = dict(children)
    # An attribute that mirrors an entry of the same name is looked at once.
    prefix = "." if issubclass(kind, Mapping) else ""  # a key may have the same name
    own = [(f"{prefix}{name}", part) for name, part in added if known.get(name, known) is not part]
    traits, named, leaf = captured.traits, captured.named, captured.own_leaf
    return Branch(kind.__name__, [*children, *own], traits, named=named, is_object=True, own_leaf=leaf)


HANDLERS: dict[type, Handler] = {itertools.count: lambda value: Leaf("value", repr(value), "count", "str")}
