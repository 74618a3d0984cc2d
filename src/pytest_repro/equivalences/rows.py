"""Batches picked from a container of samples, and their results gathered in the order of the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts, Leaf, NotCompared


def count_rows(name: str, role: str, samples: Any) -> int:
    """Return the number of samples, or raise UsageError if parts of a mapping or tuple have different numbers."""
    if isinstance(samples, (Mapping, tuple)):
        parts = list(samples.values()) if isinstance(samples, Mapping) else list(samples)
        counts = {count_rows(name, role, part) for part in parts}
        if len(counts) != 1:
            raise UsageError(f"{name}: {role} has parts of different lengths: {sorted(counts)}")
        return counts.pop()
    shape = getattr(samples, "shape", None)
    if shape is not None and len(shape) and not isinstance(samples, (str, bytes)):
        return int(shape[0])
    if isinstance(samples, Sequence) and not isinstance(samples, (str, bytes)):
        return len(samples)
    raise UsageError(
        f"{name}: {role} must be an array, a tensor, a list of samples, or a dict or tuple of arrays; "
        f"got {type(samples).__name__}"
    )


def pick_rows(samples: Any, indices: Sequence[int]) -> Any:
    """Return the samples with these indices, in this order, in a container of the same type."""
    if isinstance(samples, Mapping):
        return {key: pick_rows(part, indices) for key, part in samples.items()}
    if isinstance(samples, tuple):
        return tuple(pick_rows(part, indices) for part in samples)
    if hasattr(samples, "iloc"):
        return samples.iloc[list(indices)]
    if hasattr(samples, "shape"):
        return samples[np.asarray(indices, dtype=np.int64)]
    return [samples[i] for i in indices]


class RowsError(UsageError):
    """A result does not have one row for each sample of its batch."""


class Gathered:
    """Results of several batches of one assertion, combined by sample."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._leaves: dict[str, Leaf] = {}
        self._rows: dict[str, dict[int, Any]] = {}
        #: Of results that are a list of samples: sample -> its leaves.
        self._samples: dict[int, dict[str, Leaf]] = {}
        self._not_compared: list[NotCompared] = []

    def add(self, result: Any, indices: Sequence[int]) -> None:
        """Add the result of one batch, in which row j of every array belongs to sample ``indices[j]``.

        Raises RowsError if the result does not have one row for each sample.
        """
        if (
            isinstance(result, (list, tuple))
            and len(result) == len(indices)
            and not _holds_arrays(result, len(indices))
        ):
            self._add_items(result, indices)
            return
        captured = capture_tree(result, root="predictions")
        self._not_compared += captured.not_compared
        for path, leaf in captured.leaves.items():
            self._leaves.setdefault(path, leaf)
            if leaf.form == "node":
                continue
            if leaf.form != "array" or not leaf.shape or leaf.shape[0] != len(indices):
                is_short = leaf.form == "array" and leaf.shape and 0 < leaf.shape[0] < len(indices)
                hint = " (was a last partial batch dropped?)" if is_short else ""
                raise RowsError(
                    f"{self._name}: predict returned {path!r} of shape {leaf.shape} for {len(indices)} samples{hint}; "
                    "the first axis of everything that it returns must be the batch"
                )
            rows = self._rows.setdefault(path, {})
            rows.update({i: leaf.data[j] for j, i in enumerate(indices)})

    def _add_items(self, result: Sequence[Any], indices: Sequence[int]) -> None:
        for j, i in enumerate(indices):
            captured = capture_tree(result[j], root="predictions", top_level=False)
            self._not_compared += captured.not_compared
            self._samples[i] = captured.leaves

    def artifacts(self, only: int | None = None) -> Artifacts:
        """Return every artifact with its rows in the order of the samples, or with the row of the sample `only`."""
        leaves = {
            f"sample {i}/{path}": leaf
            for i, found in self._samples.items()
            if only in (None, i)
            for path, leaf in found.items()
        }
        for path, leaf in self._leaves.items():
            if path not in self._rows:
                leaves[path] = leaf
                continue
            rows = self._rows[path]
            data = np.stack([np.asarray(rows[i]) for i in (sorted(rows) if only is None else [only])])
            leaves[path] = Leaf("array", data, leaf.type_name, leaf.dtype, data.shape, leaf.traits)
        return Artifacts(leaves, list(dict.fromkeys(self._not_compared)))


def _holds_arrays(result: Sequence[Any], rows: int) -> bool:
    """Return whether a result is a tuple of outputs with the batch as first axis, and not a list of samples."""
    return isinstance(result, tuple) and all(getattr(part, "shape", ()) and part.shape[0] == rows for part in result)
