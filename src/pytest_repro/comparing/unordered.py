"""Comparison of tables and two-dimensional arrays as multisets of rows, for `Tolerance(rows="unordered")`.

A table's leaves are split into those that hold a value for each row and those that describe the table as a whole:
labels, dtypes, categories. The latter must be equal. The former give each row a key of bytes, and both tables must have
the same keys, each as often. Keys are compared bit for bit, so no two different rows are taken for one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.capturing.digesting import digest_leaves, iterate_blocks
from pytest_repro.comparing.elements import describe_element, escape, shorten
from pytest_repro.comparing.leaves import compare_leaf
from pytest_repro.errors import UsageError
from pytest_repro.model import ArtifactComparison, Artifacts, Leaf, Tolerance, TolerancePolicy

SAME_ROWS = "the same rows in another order"
_SORT = (
    "the table has the same rows in another order: sort them, or allow it by "
    'tolerance={{"{}": Tolerance(rows="unordered")}}'
)
#: Tables, and elements of a column, beyond which the order of rows is not examined for a note alone.
_MAX_NOTED, _MAX_NOTED_ELEMENTS = 20, 1_000_000
#: Longest text of a row in a report [characters].
_MAX_ROW = 60
#: Traits that follow from the number of rows, which the rows themselves show.
_LENGTHS = {"length", "shape"}
#: Leaves of a column that describe it as a whole.
_CONSTANT = {"name", "categories", "dictionary", "metadata"}

_MISSING = " missing"

#: The part of each row's key that comes from one leaf: an array of bytes (rows, width), or a text of any length each.
_Part = NDArray[np.uint8] | list[bytes]


class _NoRowsError(Exception):
    """A column from which no rows can be read. The text is the reason."""


@dataclass(slots=True)
class _Node:
    """A leaf with its children, as a tree."""

    path: str
    leaf: Leaf
    children: dict[str, _Node] = field(default_factory=dict)

    @property
    def leaves(self) -> dict[str, Leaf]:
        found = {self.path: self.leaf}
        for child in self.children.values():
            found.update(child.leaves)
        return found


@dataclass(slots=True)
class UnorderedRows:
    """Tables and arrays of one comparison whose rows may have any order.

    Attributes
    ----------
    differences : list of ArtifactComparison
    done : set of str
        Paths that are compared already, among them those of the tables' parts.
    """

    differences: list[ArtifactComparison] = field(default_factory=list)
    done: set[str] = field(default_factory=set)


def compare_unordered(
    actual: Artifacts, expected: Artifacts, policy: TolerancePolicy, ignored: frozenset[str] = frozenset()
) -> UnorderedRows:
    """Compare each table and two-dimensional array whose rows may have any order.

    Parameters
    ----------
    actual, expected : Artifacts
    policy : TolerancePolicy
    ignored : frozenset of str
        Traits that may differ.

    Returns
    -------
    UnorderedRows
        Nothing, if no rule of the policy allows any order.

    Raises
    ------
    UsageError
        If a glob names neither a table nor a two-dimensional array, or a table has a column whose rows cannot be told.
    """
    found = UnorderedRows()
    patterns = {pattern for pattern, tolerance in policy.rules if tolerance.rows == "unordered"}
    if not patterns:
        return found
    used: set[str] = set()
    for path, leaf in expected.leaves.items():
        other = actual.leaves.get(path)
        if other is None or path in found.done or policy.find(path).rows != "unordered":
            continue
        if is_table(path, expected) and is_table(path, actual):
            _compare_tables(path, actual, expected, ignored, found)
        elif leaf.form == "array" and other.form == "array" and len(leaf.shape) == len(other.shape) == 2:
            found.done.add(path)
            difference = compare_leaf(path, other, leaf, Tolerance(), ignored)
            if difference is not None and difference.kind in ("values", "nan"):
                difference = _compare_keys(path, _part_of(other), _part_of(leaf), [{"": other}, {"": leaf}], leaf)
            found.differences += [] if difference is None else [difference]
        else:
            continue
        used.update(pattern for pattern in patterns if policy.pattern_of(path) == pattern)
    for pattern in sorted(patterns - used - {"*"}):
        if any(policy.pattern_of(path) == pattern for path in expected.leaves if path in actual.leaves):
            raise UsageError(
                f"tolerance: the glob {pattern!r} has rows='unordered' and matches no table or two-dimensional array; "
                "it must match the path of a whole table, such as 'table' and not 'table/data/*'"
            )
    return found


def note_reordered(
    differences: Sequence[ArtifactComparison], actual: Artifacts, expected: Artifacts
) -> list[ArtifactComparison]:
    """Add a note to the worst difference of each table that has the same rows as its baseline in another order."""
    noted = list(differences)
    tables = [path for path in expected.leaves if is_table(path, expected) and is_table(path, actual)]
    for path in tables[:_MAX_NOTED]:
        prefix = f"{path}/" if path else ""
        places = [i for i, difference in enumerate(noted) if difference.artifact.startswith(prefix)]
        kinds, sizes = {noted[i].kind for i in places}, [noted[i].elements for i in places]
        if not places or kinds - {"values", "nan"} or max(sizes) > _MAX_NOTED_ELEMENTS:
            continue
        found = UnorderedRows()
        with suppress(UsageError):
            _compare_tables(path, actual, expected, frozenset(), found)
        if [difference.note for difference in found.differences] == [SAME_ROWS]:
            worst = min(places, key=lambda i: noted[i].severity)
            note = "; ".join(filter(None, [noted[worst].note, _SORT.format(path or "*")]))
            noted[worst] = replace(noted[worst], note=note)
    return noted


def compare_in_order(
    path: str, actual: Leaf, expected: Leaf, ignored: frozenset[str] = frozenset()
) -> ArtifactComparison | None:
    """Compare an artifact that has no rows bit for bit, although its tolerance leaves the order of rows open."""
    difference = compare_leaf(path, actual, expected, Tolerance(), ignored)
    if difference is None or difference.kind not in ("values", "nan"):
        return difference
    note = "rows='unordered' applies to tables and two-dimensional arrays; the order of these values counts"
    return replace(difference, minimum="", note="; ".join(filter(None, [difference.note, note])))


def is_table(path: str, artifacts: Artifacts) -> bool:
    """Check whether the leaves at and below a path are those of a table."""
    columns = artifacts.leaves.get(f"{path}/data" if path else "data")
    return columns is not None and columns.form == "node" and columns.type_name == "columns"


def _compare_tables(
    path: str, actual: Artifacts, expected: Artifacts, ignored: frozenset[str], found: UnorderedRows
) -> None:
    sides = [_build_tree(path, side) for side in (actual, expected)]
    leaves = [side.leaves for side in sides]
    if _heads(sides[0]) != _heads(sides[1]):
        return  # other columns or dtypes: the usual comparison lists them
    try:
        rows = [_read_table(side) for side in sides]
    except _NoRowsError as problem:
        raise UsageError(f"tolerance: rows='unordered' cannot be applied to {path!r}: {problem}") from None
    constants = [side.constant for side in rows]
    if constants[0].keys() != constants[1].keys():
        return
    found.done |= leaves[0].keys() | leaves[1].keys()
    for name, leaf in constants[1].items():
        difference = compare_leaf(name, constants[0][name], leaf, Tolerance(), ignored | _LENGTHS)
        found.differences += [] if difference is None else [difference]
    keys = [_join_parts(side.parts) for side in rows]
    difference = _compare_keys(path, keys[0], keys[1], [side.shown for side in rows], None)
    found.differences += [] if difference is None else [difference]


def _heads(node: _Node) -> dict[str, tuple[Any, ...]]:
    """Return what must be the same on both sides, whatever the rows are."""
    leaf = node.leaf
    traits = tuple(trait for trait in leaf.traits if trait[0] not in _LENGTHS)
    found = {node.path: (leaf.form, leaf.type_name, leaf.dtype, leaf.shape[1:], traits)}
    if not _holds_elements(node):
        for child in node.children.values():
            found.update(_heads(child))
    return found


def _holds_elements(node: _Node) -> bool:
    """Check whether a node's children are the elements of a column, one for each row."""
    return node.leaf.type_name in ("elements", "ndarray") and "text" not in node.children


def _build_tree(path: str, artifacts: Artifacts) -> _Node:
    prefix = f"{path}/" if path else ""
    nodes = {path: _Node(path, artifacts.leaves[path])}
    for name, leaf in artifacts.leaves.items():
        if name.startswith(prefix) and name != path:
            nodes[name] = _Node(name, leaf)
    for name, node in nodes.items():
        if name != path:
            parent = next(name[:i] for i in range(len(name) - 1, -1, -1) if name[i] == "/" and name[:i] in nodes)
            nodes[parent].children[name[len(parent) + 1 :]] = node
    return nodes[path]


@dataclass(slots=True)
class _Rows:
    """The rows of a table: parts of their keys, leaves that are the same for all, and arrays to show rows by."""

    parts: list[_Part] = field(default_factory=list)
    constant: dict[str, Leaf] = field(default_factory=dict)
    shown: dict[str, Leaf] = field(default_factory=dict)
    #: Paths that are part of a key.
    used: set[str] = field(default_factory=set)

    def inner(self) -> _Rows:
        """Return the rows of the items of lists, which belong to this table."""
        return _Rows(constant=self.constant, used=self.used)

    def take_constant(self, node: _Node) -> None:
        """Note leaves that describe all rows."""
        self.constant.update(node.leaves)


def _read_table(table: _Node) -> _Rows:
    rows = _Rows()
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
        raise _NoRowsError(f"{min(forgotten)!r} belongs to no row")
    if not rows.parts:
        rows.parts = [np.zeros((count, 0), np.uint8)]
    return rows


def _count_rows(table: _Node) -> int:
    traits = dict(table.leaf.traits)
    if "shape" in traits:
        return int(traits["shape"].strip("()").partition(",")[0])
    index = table.children.get("index")  # of pandas
    if index is None:
        raise _NoRowsError("its number of rows is unknown")
    if index.leaf.type_name == "RangeIndex":
        bounds = [index.children[name].leaf.data for name in ("start", "stop", "step")]
        return len(range(*bounds))
    if "length" in dict(index.leaf.traits):  # of an index of several levels
        return int(dict(index.leaf.traits)["length"])
    return _length_of(index.children["values"])


def _length_of(node: _Node) -> int:
    while node.leaf.form != "array":
        if "length" in dict(node.leaf.traits):
            return int(dict(node.leaf.traits)["length"])
        names = [name for name in ("missing", "codes", "ticks", "text", "left", "values") if name in node.children]
        if not names:
            return len(node.children)
        node = node.children[names[0]]
    return node.leaf.shape[0]


def _read(node: _Node, count: int, rows: _Rows, label: str) -> list[_Part]:
    """Read the parts of the keys that a column gives to `count` rows."""
    leaf = node.leaf
    if leaf.form == "array":
        if not leaf.shape or leaf.shape[0] != count:
            raise _NoRowsError(f"the length of {node.path!r} is not the number of rows")
        rows.shown.setdefault(label, leaf)
        rows.used.add(node.path)
        return [_part_of(leaf)]
    rows.constant[node.path] = leaf
    if leaf.form == "value":  # the bounds of a range of labels
        return []
    names = node.children.keys()
    if _holds_elements(node):
        if names != set(map(str, range(count))):
            raise _NoRowsError(f"the number of elements of {node.path!r} is not the number of rows")
        rows.used.update(node.leaves)
        return [[_digest_element(node.children[str(i)]) for i in range(count)]]
    if leaf.type_name == "SparseArray" or {"codes", "fields"} <= names:
        raise _NoRowsError(f"{node.path!r} is stored in parts that belong to no row; convert it to a dense column")
    if leaf.type_name in ("fields", "levels"):  # their names are those of the user
        children = sorted(node.children.items())
        return [part for name, child in children for part in _read(child, count, rows, f"{label}.{name}")]
    return _read_parts(node, count, rows, label)


def _read_parts(node: _Node, count: int, rows: _Rows, label: str) -> list[_Part]:
    children = dict(node.children)
    parts: list[_Part] = []
    for name in _CONSTANT & children.keys():
        rows.take_constant(children.pop(name))
    missing = np.zeros(count, bool)
    if "missing" in children:
        missing = children["missing"].leaf.data
        parts += _read(children.pop("missing"), count, rows, f"{label}{_MISSING}")
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


def _read_items(node: _Node, count: int, rows: _Rows) -> list[bytes]:
    parts = _read(node, count, rows.inner(), "")
    return _list_keys(_join_parts(parts)) if parts else [b""] * count


def _spread(node: _Node, missing: NDArray[np.bool_], rows: _Rows) -> list[bytes]:
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


def _digest_element(node: _Node) -> bytes:
    return digest_leaves({path[len(node.path) :]: leaf for path, leaf in node.leaves.items()}).encode()


def _part_of(leaf: Leaf) -> NDArray[np.uint8]:
    """Return the bytes of each row of an array."""
    data = leaf.data if isinstance(leaf.data, np.ndarray) else leaf.data.cpu().numpy()
    # Without the padding of long doubles. Each block is copied, because it is valid until the next one only.
    raw = np.frombuffer(b"".join([bytes(block) for block in iterate_blocks(data)]), np.uint8)
    return raw.reshape(len(data), -1) if len(data) else np.zeros((0, 0), np.uint8)


def _join_parts(parts: list[_Part]) -> _Part:
    """Join the parts of each row's key. Parts of any length are preceded by it."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.hstack(arrays)
    columns = [_list_keys(part) for part in parts]
    return [b"".join(struct.pack("<Q", len(cell)) + cell for cell in row) for row in zip(*columns, strict=True)]


def _list_keys(part: _Part) -> list[bytes]:
    return [row.tobytes() for row in part] if isinstance(part, np.ndarray) else part


def _compare_keys(
    path: str, actual: _Part, expected: _Part, shown: Sequence[dict[str, Leaf]], leaf: Leaf | None
) -> ArtifactComparison | None:
    """Compare the keys of all rows, in their order and as multisets."""
    if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray) and np.array_equal(actual, expected):
        return None
    numbers = _number_rows(actual, expected)
    if np.array_equal(numbers[0], numbers[1]):
        return None
    size = 1 + max((int(side.max()) for side in numbers if len(side)), default=0)
    surplus = np.subtract(*(np.bincount(side, minlength=size) for side in numbers))
    unmatched = max(int(surplus[surplus > 0].sum()), -int(surplus[surplus < 0].sum()))
    # The first row of each side that has no match on the other, or nothing.
    alone = surplus > 0, surplus < 0
    rows = [np.flatnonzero(chosen[side])[:1].tolist() for chosen, side in zip(alone, numbers, strict=True)]
    moved = 0 if unmatched else int((numbers[0] != numbers[1]).sum())
    texts = [_describe_row(found, sides) for found, sides in zip(rows, shown, strict=True)]
    total = len(numbers[1])
    return ArtifactComparison(
        path,
        "values",
        within=not unmatched,
        dtype=leaf.dtype if leaf is not None else "",
        shape=leaf.shape if leaf is not None else None,
        elements=total,
        differing=unmatched or moved,
        over=unmatched,
        first_index=(rows[0][0],) if rows[0] else None,
        actual=texts[0] if unmatched else f"{moved:,} of {total:,} rows in another place",
        expected=texts[1] if unmatched else "the same rows",
        allowed=Tolerance(rows="unordered").describe(),
        note=f"{unmatched:,} of {total:,} rows have no match" if unmatched else SAME_ROWS,
    )


def _number_rows(actual: _Part, expected: _Part) -> list[NDArray[np.int64]]:
    """Give equal rows of both sides one number."""
    if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray) and actual.shape[1] == expected.shape[1] > 0:
        joined = np.ascontiguousarray(np.concatenate([actual, expected]))
        keys = joined.view(np.dtype((np.void, joined.shape[1]))).reshape(-1)
        numbers = np.unique(keys, return_inverse=True)[1].reshape(-1)
        return [numbers[: len(actual)], numbers[len(actual) :]]
    known: dict[bytes, int] = {}
    sides = (_list_keys(actual), _list_keys(expected))
    return [np.array([known.setdefault(key, len(known)) for key in side], np.int64) for side in sides]


def _describe_row(rows: list[int], shown: dict[str, Leaf]) -> str:
    if not rows:
        return "every row has a match"
    row = rows[0]
    cells = []
    for label, leaf in shown.items():
        if leaf.dtype == "bool" and label.endswith(_MISSING):
            continue
        places: Iterable[tuple[int, ...]] = [(row, *rest) for rest in np.ndindex(leaf.shape[1:])][:8]
        text = ", ".join(describe_element(leaf.data, place, leaf.dtype) for place in places)
        cells.append(f"{escape(label)}={text}" if label else text)
    return shorten(f"row {row}: {', '.join(cells)}", _MAX_ROW + 10)
