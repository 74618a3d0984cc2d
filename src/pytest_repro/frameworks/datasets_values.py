"""The datasets of Hugging Face's library `datasets`: their rows in order, features and format."""

from __future__ import annotations

from typing import Any

import datasets

from pytest_repro.frameworks.base_values import Branch, Handler, NotComparableError


def capture_dataset(dataset: Any) -> Branch:
    """Capture a dataset by its rows, as its mapping of indices orders them, its features, format and split.

    Notes
    -----
    The fingerprint is not part of it: it names the steps that made the dataset, and is random where a step cannot be
    hashed. Nor are the files that the rows are mapped from.
    """
    table = dataset.with_format("arrow")[:]
    split = None if dataset.split is None else str(dataset.split)
    children = [("table", table), ("features", dataset.features.to_dict()), ("format", dataset.format)]
    return Branch(type(dataset).__name__, [*children, ("split", split)])


def refuse_stream(dataset: Any) -> Branch:
    """Reject a dataset that is read as a stream."""
    raise NotComparableError("it is read as a stream; return list(dataset.take(n)), or a datasets.Dataset")


HANDLERS: dict[type, Handler] = {
    datasets.Dataset: capture_dataset,
    datasets.IterableDataset: refuse_stream,
}
