"""Comparison of tables and two-dimensional arrays as multisets of rows, for `Tolerance(rows="unordered")`.

Both sides must have the same rows, each as often. Rows are compared by keys that hold all of their bits
(:mod:`pytest_repro.comparing.table_rows`), so no two different rows are taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pytest_repro.comparing.elements import describe_element, escape, shorten
from pytest_repro.comparing.leaves import compare_leaf
from pytest_repro.comparing.table_rows import (
    LENGTHS,
    MISSING,
    NoRowsError,
    Part,
    build_tree,
    find_heads,
    join_parts,
    list_keys,
    part_of,
    read_table,
)
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
    if not policy.leaves_rows_open:
        return found
    patterns = {pattern for pattern, tolerance in policy.rules if tolerance.rows == "unordered"}
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
                difference = _compare_keys(path, part_of(other), part_of(leaf), [{"": other}, {"": leaf}], leaf)
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
    sides = [build_tree(path, side) for side in (actual, expected)]
    leaves = [side.leaves for side in sides]
    if find_heads(sides[0]) != find_heads(sides[1]):
        return  # other columns or dtypes: the usual comparison lists them
    try:
        rows = [read_table(side) for side in sides]
    except NoRowsError as problem:
        raise UsageError(f"tolerance: rows='unordered' cannot be applied to {path!r}: {problem}") from None
    constants = [side.constant for side in rows]
    if constants[0].keys() != constants[1].keys():
        return
    found.done |= leaves[0].keys() | leaves[1].keys()
    for name, leaf in constants[1].items():
        difference = compare_leaf(name, constants[0][name], leaf, Tolerance(), ignored | LENGTHS)
        found.differences += [] if difference is None else [difference]
    keys = [join_parts(side.parts) for side in rows]
    difference = _compare_keys(path, keys[0], keys[1], [side.shown for side in rows], None)
    found.differences += [] if difference is None else [difference]


def _compare_keys(
    path: str, actual: Part, expected: Part, shown: Sequence[dict[str, Leaf]], leaf: Leaf | None
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


def _number_rows(actual: Part, expected: Part) -> list[NDArray[np.int64]]:
    """Give equal rows of both sides one number."""
    if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray) and actual.shape[1] == expected.shape[1] > 0:
        joined = np.ascontiguousarray(np.concatenate([actual, expected]))
        keys = joined.view(np.dtype((np.void, joined.shape[1]))).reshape(-1)
        numbers = np.unique(keys, return_inverse=True)[1].reshape(-1)
        return [numbers[: len(actual)], numbers[len(actual) :]]
    known: dict[bytes, int] = {}
    sides = (list_keys(actual), list_keys(expected))
    return [np.array([known.setdefault(key, len(known)) for key in side], np.int64) for side in sides]


def _describe_row(rows: list[int], shown: dict[str, Leaf]) -> str:
    if not rows:
        return "every row has a match"
    row = rows[0]
    cells = []
    for label, leaf in shown.items():
        if leaf.dtype == "bool" and label.endswith(MISSING):
            continue
        places: Iterable[tuple[int, ...]] = [(row, *rest) for rest in np.ndindex(leaf.shape[1:])][:8]
        text = ", ".join(describe_element(leaf.data, place, leaf.dtype) for place in places)
        cells.append(f"{escape(label)}={text}" if label else text)
    return shorten(f"row {row}: {', '.join(cells)}", _MAX_ROW + 10)
