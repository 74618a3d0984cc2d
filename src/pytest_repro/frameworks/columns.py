"""The parts of a column that tables of several libraries have in common: labels, texts, bytes and missing values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pytest_repro.frameworks.base_values import Branch, Captured, FreshLeaf, Parts, Reader, Traits, make_fresh
from pytest_repro.frameworks.numpy_values import capture_array
from pytest_repro.model import Leaf
from pytest_repro.numerics.array_digest import describe_array

#: Texts that are captured one by one, so that the one that differs has its own path. More are joined.
MAX_SINGLE = 10_000

#: Rows of a table that are read in a watched run, where every statement that mentions it reads it.
MAX_READ_ROWS = 100_000


def name_columns(labels: Sequence[str]) -> list[str]:
    """Return a path for each column: its label, or its number and label where two paths could meet.

    Two columns may have one label, and a column ``x/values`` would lie inside of a column ``x`` that has parts.
    """
    known = set(labels)
    if len(known) == len(labels) and not any(_continues(label, known) for label in labels):
        return list(labels)
    return [f"{i}:{label}" for i, label in enumerate(labels)]


def _continues(label: str, known: set[str]) -> bool:
    return any(character == "/" and label[:i] in known for i, character in enumerate(label))


def capture_labels(labels: Sequence[str]) -> Captured:
    """Capture the labels of all columns in their order."""
    return capture_texts(np.array(labels, dtype=object))


def capture_column(
    type_name: str, dtype: str, missing: np.ndarray[Any, Any], parts: list[tuple[str, Any]], traits: Traits = ()
) -> Branch:
    """Capture a column by its missing places and its content."""
    children: list[tuple[str, Any]] = [("missing", capture_array(missing)), *parts]
    return Branch(type_name, children, (("dtype", dtype), ("length", str(len(missing))), *traits))


def without_missing(data: np.ndarray[Any, Any], missing: np.ndarray[Any, Any]) -> Captured:
    """Capture the elements of a column with a zero in each missing place, which may hold anything."""
    if not missing.any():
        return capture_array(data)
    return make_fresh(capture_array(np.where(missing, np.zeros((), data.dtype), data)))


def capture_texts(texts: np.ndarray[Any, Any]) -> Captured:
    """Capture an array of texts or of bytes: packed if that is exact and small, else one by one or joined."""
    packed = pack_texts(texts)
    if packed is not None:
        return packed
    if len(texts) <= MAX_SINGLE:
        return Branch("elements", [(str(i), text) for i, text in enumerate(texts)], (("length", str(len(texts))),))
    return join_bytes([text.encode() if isinstance(text, str) else text for text in texts])


def pack_texts(data: np.ndarray[Any, Any]) -> Captured | None:
    """Pack a column of texts into one array, if that is exact and at most some four times their size."""
    if not len(data) or not all(type(text) is str for text in data) or any(text.endswith("\0") for text in data):
        return None
    lengths = [len(text) for text in data]
    # A power of two, so that the dtype does not change with every new longest text.
    width = 1 << max(3, (max(lengths) - 1).bit_length())
    if width * len(data) > 16 * (sum(lengths) + len(data)):
        return None
    return make_fresh(capture_array(data.astype(f"<U{width}")))


def join_bytes(values: Sequence[bytes]) -> Branch:
    """Capture many texts or bytes by their lengths and by all bytes in a row."""
    lengths = np.fromiter((len(value) for value in values), np.int64, len(values))
    return Branch("bytes", [("lengths", make_fresh(capture_array(lengths))), ("bytes", fresh_bytes(b"".join(values)))])


def fresh_bytes(data: bytes, type_name: str = "bytes") -> Leaf:
    """Capture bytes that no other code can write to as an array."""
    array = np.frombuffer(data, np.uint8)
    return FreshLeaf("array", array, type_name, "uint8", array.shape)


def read_table(capture: Callable[[Any], Branch], cut: Callable[[Any, int], Any]) -> Reader:
    """Return the reader of a table or a column by what a capture makes of it, with a part for each column.

    Parameters
    ----------
    capture : callable
        Captures the value.
    cut : callable
        Returns the first rows of a value.
    """

    def read(value: Any) -> Parts:
        rows = len(value) if hasattr(value, "__len__") else value.num_rows
        branch = capture(value if rows <= MAX_READ_ROWS else cut(value, MAX_READ_ROWS))
        parts = Parts([("rows", rows), ("traits", repr(branch.traits))])
        for name, child in branch.children:
            if isinstance(child, Branch) and child.type_name == "columns":
                parts += [(f"[{label!r}]", column) for label, column in child.children]
            else:
                parts.append((name, child))
        return parts

    return Reader(read, lambda value: f"{type(value).__name__} {getattr(value, 'shape', '')}".strip(), is_data=True)


def _read_branch(branch: Branch) -> Parts:
    return Parts([("type", branch.type_name), ("traits", repr(branch.traits)), *branch.children])


def _read_leaf(leaf: Leaf) -> Parts:
    return Parts([("type", leaf.type_name), ("dtype", leaf.dtype), ("traits", repr(leaf.traits)), ("data", leaf.data)])


def _describe_branch(branch: Branch) -> str:
    shown = ", ".join(text for name, text in branch.traits if name in ("dtype", "length", "shape"))
    return f"{branch.type_name} ({shown})" if shown else branch.type_name


def _describe_leaf(leaf: Leaf) -> str:
    return describe_array(leaf.data, leaf.type_name, leaf.dtype) if leaf.form == "array" else repr(leaf.data)[:60]


#: Readers of what a capture returns, for the parts of `read_table`.
CAPTURED_READERS: dict[type, Reader] = {
    Branch: Reader(_read_branch, _describe_branch, is_complete=True),
    Leaf: Reader(_read_leaf, _describe_leaf, is_complete=True),
}
