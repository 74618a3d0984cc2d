"""Columns of nested values drawn by Hypothesis, and the same columns with one value changed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

#: The kind of a column: a name, or ("list", kind), or ("struct", {field: kind}).
Kind = Any

_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int8": st.integers(-128, 127),
    "float64": st.floats(),
    "bool": st.booleans(),
    "text": st.text(st.characters(codec="utf-8"), max_size=20),
    "bytes": st.binary(max_size=5),
}

kinds: st.SearchStrategy[Kind] = st.recursive(
    st.sampled_from(sorted(_SCALARS)),
    lambda inner: st.one_of(
        st.tuples(st.just("list"), inner),
        st.tuples(st.just("struct"), st.dictionaries(st.sampled_from("ab"), inner, min_size=1)),
    ),
    max_leaves=3,
)


def values_of(kind: Kind) -> st.SearchStrategy[Any]:
    """Return a strategy for a value of a kind, or a missing one."""
    if isinstance(kind, str):
        return st.none() | _SCALARS[kind]
    if kind[0] == "list":
        return st.none() | st.lists(values_of(kind[1]), max_size=3)
    return st.none() | st.fixed_dictionaries({name: values_of(inner) for name, inner in kind[1].items()})


def key_of(value: Any) -> Any:
    """Return a key that two values share exactly if they are equal in every bit."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, list):
        return [key_of(item) for item in value]
    if isinstance(value, dict):
        return {name: key_of(item) for name, item in value.items()}
    return type(value), value


@dataclass
class Columns:
    """Two columns of one kind that differ in one value at most."""

    kind: Kind
    one: list[Any]
    other: list[Any]

    @property
    def are_equal(self) -> bool:
        return bool(key_of(self.one) == key_of(self.other))


@st.composite
def near_columns(draw: Any) -> Columns:
    """Draw a column, and the same one with a value replaced."""
    kind = draw(kinds)
    one = draw(st.lists(values_of(kind), min_size=1, max_size=6))
    other = list(one)
    other[draw(st.integers(0, len(one) - 1))] = draw(values_of(kind))
    return Columns(kind, one, other)
