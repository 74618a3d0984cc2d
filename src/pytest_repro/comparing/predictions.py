"""Churn: the samples whose predicted class changed, even if their scores changed by little."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.elements import describe_value, escape, shorten
from pytest_repro.comparing.live import ROOT
from pytest_repro.model import Leaf
from pytest_repro.numerics.equivalence import wilson_interval
from pytest_repro.numerics.kinds import Kind, find_kind
from pytest_repro.undisturbed import undisturbed

#: Rows listed in a message. The others are counted.
MAX_ROWS = 8


@undisturbed
def describe_flips(actual: Any, expected: Any) -> str:
    """Describe the churn of two trees of predictions. The text is empty if they hold no classes."""
    left, right = (capture_tree(side, root=ROOT, copy=False) for side in (actual, expected))
    lines = ["class flips (expected -> actual)"]
    for path, leaf in right.leaves.items():
        other = left.leaves.get(path)
        classes = None if other is None else _read_both(other, leaf)
        if classes is not None:
            lines.append(f"  {shorten(escape(path))}: {_describe_classes(*classes)}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _read_both(actual: Leaf, expected: Leaf) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the classes of two arrays of one shape, or None if they hold no classes."""
    if actual.form != "array" or expected.form != "array" or actual.shape != expected.shape or not expected.shape:
        return None
    left, right = _read_classes(actual), _read_classes(expected)
    return None if left is None or right is None or not left.size else (left, right)


def _describe_classes(actual: NDArray[Any], expected: NDArray[Any]) -> str:
    """Describe how many classes changed, with the 95 % interval of their share, and in which rows."""
    rows, samples = np.flatnonzero(actual != expected), actual.size
    low, high = wilson_interval(rows.size, samples)
    if not rows.size:
        return f"no class changed in {samples:,} samples (95 % interval 0 % to {high:.2%})"
    share = f"{rows.size:,} of {samples:,} ({rows.size / samples:.2%}, 95 % interval {low:.2%} to {high:.2%})"
    pairs = ((i, describe_value(expected[i].item()), describe_value(actual[i].item())) for i in rows[:MAX_ROWS])
    shown = ", ".join(f"{row}: {before} -> {after}" for row, before, after in pairs)
    more = f" and {rows.size - MAX_ROWS:,} more" if rows.size > MAX_ROWS else ""
    return f"{share} changed class; rows {shown}{more}"


def _read_classes(leaf: Leaf) -> NDArray[Any] | None:
    """Return the class of each row: its label, or the index of its largest score (NaN counts as largest)."""
    data = leaf.data if isinstance(leaf.data, np.ndarray) else leaf.data.cpu().numpy()
    kind = find_kind(leaf.dtype, data.dtype)
    if len(leaf.shape) == 1:
        return data if data.dtype.kind in "biuSU" and not kind.rounds else None
    if len(leaf.shape) != 2 or not leaf.shape[1] or leaf.shape[1] == 1 or data.dtype.kind == "c":
        return None
    step = max(1, 65536 // leaf.shape[1])
    parts = (_read_bits(data[i : i + step], kind) for i in range(0, data.shape[0], step))
    blocks = (kind.values(np.ascontiguousarray(part).reshape(-1)) for part in parts)
    classes = [block.reshape(-1, leaf.shape[1]).argmax(axis=1) for block in blocks if block is not None]
    return np.concatenate(classes) if classes else None


def _read_bits(rows: NDArray[Any], kind: Kind) -> NDArray[Any]:
    native = rows.astype(rows.dtype.newbyteorder("="), copy=False)
    return native if native.dtype == kind.storage else native.view(kind.storage)
