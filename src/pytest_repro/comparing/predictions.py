"""Churn: the samples whose predicted class changed, even if their scores changed by little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.elements import describe_value, escape, shorten
from pytest_repro.comparing.live import ROOT
from pytest_repro.model import Leaf
from pytest_repro.numerics.equivalence import wilson_interval
from pytest_repro.numerics.kinds import find_kind

#: Rows listed in a message. The others are counted.
MAX_ROWS = 8


@dataclass(frozen=True, slots=True)
class Flips:
    """Samples of one artifact whose class differs.

    Attributes
    ----------
    artifact : str
    samples : int
    rows : tuple of int
        All rows whose class differs.
    examples : tuple of (int, str, str)
        Row, actual class and expected class of the first few.
    """

    artifact: str
    samples: int
    rows: tuple[int, ...]
    examples: tuple[tuple[int, str, str], ...]

    def describe(self) -> str:
        """Describe how many classes changed, with the interval, and in which rows."""
        low, high = wilson_interval(len(self.rows), self.samples)
        percent = f"{len(self.rows) / self.samples:.2%}, 95 % interval {low:.2%} to {high:.2%}"
        share = f"{len(self.rows):,} of {self.samples:,} ({percent})"
        if not self.rows:
            return f"{self.artifact}: no class changed in {self.samples:,} samples (95 % interval 0 % to {high:.2%})"
        rows = ", ".join(f"{row}: {expected} -> {actual}" for row, actual, expected in self.examples)
        more = f" and {len(self.rows) - len(self.examples):,} more" if len(self.rows) > len(self.examples) else ""
        return f"{self.artifact}: {share} changed class; rows {rows}{more}"


def find_flips(actual: Any, expected: Any) -> list[Flips]:
    """Return the churn of every artifact that holds classes or scores and has the same shape in both trees."""
    left, right = (capture_tree(side, root=ROOT, copy=False) for side in (actual, expected))
    pairs = ((path, left.leaves.get(path), leaf) for path, leaf in right.leaves.items())
    found = [_compare_classes(path, mine, theirs) for path, mine, theirs in pairs if mine is not None]
    return [flips for flips in found if flips is not None]


def describe_flips(actual: Any, expected: Any) -> str:
    """Describe the churn of two trees of predictions. The text is empty if they hold no classes."""
    lines = [f"  {flips.describe()}" for flips in find_flips(actual, expected)]
    return "\n".join(["class flips (expected -> actual)", *lines]) if lines else ""


def _compare_classes(path: str, actual: Leaf, expected: Leaf) -> Flips | None:
    if actual.form != "array" or expected.form != "array" or actual.shape != expected.shape or not expected.shape:
        return None
    left, right = _classes(actual), _classes(expected)
    if left is None or right is None or not left.size:
        return None
    rows = np.flatnonzero(left != right)
    examples = tuple((int(i), describe_value(left[i].item()), describe_value(right[i].item())) for i in rows[:MAX_ROWS])
    return Flips(shorten(escape(path)), left.size, tuple(rows.tolist()), examples)


def _classes(leaf: Leaf) -> NDArray[Any] | None:
    """Return the class of each row: its label, or the index of its largest score (NaN counts as largest)."""
    data = leaf.data if isinstance(leaf.data, np.ndarray) else leaf.data.cpu().numpy()
    kind = find_kind(leaf.dtype, data.dtype)
    if len(leaf.shape) == 1:
        return data if data.dtype.kind in "biuSU" and not kind.rounds else None
    if len(leaf.shape) != 2 or not leaf.shape[1] or leaf.shape[1] == 1 or data.dtype.kind == "c":
        return None
    step = max(1, 65536 // leaf.shape[1])
    parts = (_read(data[i : i + step], kind) for i in range(0, data.shape[0], step))
    blocks = (kind.values(np.ascontiguousarray(part).reshape(-1)) for part in parts)
    classes = [block.reshape(-1, leaf.shape[1]).argmax(axis=1) for block in blocks if block is not None]
    return np.concatenate(classes) if classes else None


def _read(rows: NDArray[Any], kind: Any) -> NDArray[Any]:
    native = rows.astype(rows.dtype.newbyteorder("="), copy=False)
    return native if native.dtype == kind.storage else native.view(kind.storage)
