"""The rows of a table that was captured, each as a key of bytes that holds all of its bits.

A table's leaves are split into those that hold a value for each row and those that describe the table as a whole:
labels, dtypes, categories. `frameworks/columns.py` and `frameworks/pandas_values.py` make the leaves. A leaf that
belongs to neither is an error, so that none is passed over. Python's objects are represented by their digests.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.capturing.digesting import digest_leaves, iterate_blocks
from pytest_repro.model import Artifacts, Leaf

#: Traits that follow from the number of rows, which the rows themselves show.
LENGTHS = {"length", "shape"}
#: Leaves of a column that describe it as a whole.
_CONSTANT = {"name", "categories", "dictionary", "metadata"}
#: End of the label of a column's missing places.
MISSING = " missing"

#: The part of each row's key that comes from one leaf: an array of bytes (rows, width), or a text of any length each.
Part = NDArray[np.uint8] | list[bytes]


class NoRowsError(Exception):
    """A column from which no rows can be read. The text is the reason."""


@dataclass(slots=True)
class Node:
    """A leaf with its children, as a tree."""

    path: str
    leaf: Leaf
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def leaves(self) -> dict[str, Leaf]:
        found = {self.path: self.leaf}
        for child in self.children.values():
            found.update(child.leaves)
        return found


def build_tree(path: str, artifacts: Artifacts) -> Node:
    """Arrange the leaves at and below a path as a tree."""
    prefix = f"{path}/" if path else ""
    nodes = {path: Node(path, artifacts.leaves[path])}
    for name, leaf in artifacts.leaves.items():
        if name.startswith(prefix) and name != path:
            nodes[name] = Node(name, leaf)
    for name, node in nodes.items():
        if name != path:
            parent = next(name[:i] for i in range(len(name) - 1, -1, -1) if name[i] == "/" and name[:i] in nodes)
            nodes[parent].children[name[len(parent) + 1 :]] = node
    return nodes[path]


def find_heads(node: Node) -> dict[str, tuple[Any, ...]]:
    """Return what must be the same on both sides, whatever the rows are."""
    leaf = node.leaf
    traits = tuple(trait for trait in leaf.traits if trait[0] not in LENGTHS)
    found = {node.path: (leaf.form, leaf.type_name, leaf.dtype, leaf.shape[1:], traits)}
    if not _holds_elements(node):
        for child in node.children.values():
            found.update(find_heads(child))
    return found


def _holds_elements(node: Node) -> bool:
    """Check whether a node's children are the elements of a column, one for each row."""
    return node.leaf.type_name in ("elements", "ndarray") and "text" not in node.children


@dataclass(slots=True)
class Rows:
    """The rows of a table: parts of their keys, leaves that are the same for all, and arrays to show rows by."""

    parts: list[Part] = field(default_factory=list)
    constant: dict[str, Leaf] = field(default_factory=dict)
    shown: dict[str, Leaf] = field(default_factory=dict)
    #: Paths that are part of a key.
    used: set[str] = field(default_factory=set)

    def inner(self) -> Rows:
        """Return the rows of the items of lists, which belong to this table."""
        return Rows(constant=self.constant, used=self.used)

    def take_constant(self, node: Node) -> None:
        """Note leaves that describe all rows."""
        self.constant.update(node.leaves)


def read_table(table: Node) -> Rows:
    """Read the rows of a table.

    Raises
    ------
    NoRowsError
        If a column is stored in parts that belong to no row.
    """
    rows = Rows()
    count = _count_rows(table)
    rows.constant[table.path] = table.leaf
    for name, child in sorted(table.children.items()):
        if name == "data":
            rows.constant[child.path] = child.leaf
            for label, column in sorted(child.children.items()):
                rows.parts += _read(column, count, rows, label)
        elif name == "index":
            rows.parts += _read(child, count, rows, name)
        else:
            rows.take_constant(child)
    forgotten = table.leaves.keys() - rows.constant.keys() - rows.used
    if forgotten:
        raise NoRowsError(f"{min(forgotten)!r} belongs to no row")
    if not rows.parts:
        rows.parts = [np.zeros((count, 0), np.uint8)]
    return rows


def _count_rows(table: Node) -> int:
    traits = dict(table.leaf.traits)
    if "shape" in traits:
        return int(traits["shape"].strip("()").partition(",")[0])
    index = table.children.get("index")  # of pandas
    if index is None:
        raise NoRowsError("its number of rows is unknown")
    if index.leaf.type_name == "RangeIndex":
        bounds = [index.children[name].leaf.data for name in ("start", "stop", "step")]
        return len(range(*bounds))
    if "length" in dict(index.leaf.traits):  # of an index of several levels
        return int(dict(index.leaf.traits)["length"])
    return _length_of(index.children["values"])


def _length_of(node: Node) -> int:
    while node.leaf.form != "array":
        if "length" in dict(node.leaf.traits):
            return int(dict(node.leaf.traits)["length"])
        names = [name for name in ("missing", "codes", "ticks", "text", "left", "values") if name in node.children]
        if not names:
            return len(node.children)
        node = node.children[names[0]]
    return node.leaf.shape[0]


def _read(node: Node, count: int, rows: Rows, label: str) -> list[Part]:
    """Read the parts of the keys that a column gives to `count` rows."""
    leaf = node.leaf
    if leaf.form == "array":
        if not leaf.shape or leaf.shape[0] != count:
            raise NoRowsError(f"the length of {node.path!r} is not the number of rows")
        rows.shown.setdefault(label, leaf)
        rows.used.add(node.path)
        return [part_of(leaf)]
    rows.constant[node.path] = leaf
    if leaf.form == "value":  # the bounds of a range of labels
        return []
    names = node.children.keys()
    if _holds_elements(node):
        if names != set(map(str, range(count))):
            raise NoRowsError(f"the number of elements of {node.path!r} is not the number of rows")
        rows.used.update(node.leaves)
        return [[_digest_element(node.children[str(i)]) for i in range(count)]]
    if leaf.type_name == "SparseArray" or {"codes", "fields"} <= names:
        raise NoRowsError(f"{node.path!r} is stored in parts that belong to no row; convert it to a dense column")
    if leaf.type_name in ("fields", "levels"):  # their names are those of the user
        children = sorted(node.children.items())
        return [part for name, child in children for part in _read(child, count, rows, f"{label}.{name}")]
    return _read_parts(node, count, rows, label)


def _read_parts(node: Node, count: int, rows: Rows, label: str) -> list[Part]:
    children = dict(node.children)
    parts: list[Part] = []
    for name in _CONSTANT & children.keys():
        rows.take_constant(children.pop(name))
    missing = np.zeros(count, bool)
    if "missing" in children:
        missing = children["missing"].leaf.data
        parts += _read(children.pop("missing"), count, rows, f"{label}{MISSING}")
    if "lengths" in children:
        lengths = children["lengths"].leaf.data
        rows.used.add(children.pop("lengths").path)
        (items,) = children.values()
        return [*parts, _gather(_read_items(items, int(lengths.sum()), rows), lengths)]
    for name, child in sorted(children.items()):
        if name in ("present", "fields", "items"):
            parts.append(_spread(child, missing, rows))
        else:
            parts += _read(child, count, rows, label)
    return parts


def _read_items(node: Node, count: int, rows: Rows) -> list[bytes]:
    parts = _read(node, count, rows.inner(), "")
    return list_keys(join_parts(parts)) if parts else [b""] * count


def _spread(node: Node, missing: NDArray[np.bool_], rows: Rows) -> list[bytes]:
    """Read the parts of rows that are not missing, and give the others none."""
    present = int((~missing).sum())
    # Lists of a fixed size have several items in each row.
    width = _length_of(node) // present if present and node.path.endswith("/items") else 1
    keys = iter(_gather(_read_items(node, present * width, rows), np.full(present, width)))
    return [b"" if gone else next(keys) for gone in missing]


def _gather(items: Sequence[bytes], lengths: NDArray[Any]) -> list[bytes]:
    """Join the items of each row, each preceded by its length."""
    framed = [struct.pack("<Q", len(item)) + item for item in items]
    ends = np.cumsum(lengths)
    return [b"".join(framed[end - length : end]) for end, length in zip(ends, lengths, strict=True)]


def _digest_element(node: Node) -> bytes:
    return digest_leaves({path[len(node.path) :]: leaf for path, leaf in node.leaves.items()}).encode()


def part_of(leaf: Leaf) -> NDArray[np.uint8]:
    """Return the bytes of each row of an array."""
    data = leaf.data
    if not isinstance(data, np.ndarray):
        from pytest_repro.frameworks.torch_values import to_numpy  # it is a tensor, so torch is loaded

        data, _ = to_numpy(data)
    # Without the padding of long doubles. Each block is copied, because it is valid until the next one only.
    raw = np.frombuffer(b"".join([bytes(block) for block in iterate_blocks(data)]), np.uint8)
    return raw.reshape(len(data), -1) if len(data) else np.zeros((0, 0), np.uint8)


def join_parts(parts: list[Part]) -> Part:
    """Join the parts of each row's key. Parts of any length are preceded by it."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.hstack(arrays)
    columns = [list_keys(part) for part in parts]
    return [b"".join(struct.pack("<Q", len(cell)) + cell for cell in row) for row in zip(*columns, strict=True)]


def list_keys(part: Part) -> list[bytes]:
    """Return the part of each row's key as bytes."""
    return [row.tobytes() for row in part] if isinstance(part, np.ndarray) else part
