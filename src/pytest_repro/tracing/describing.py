"""A value of a watched run in one short line without addresses, by calling nothing of the test's code."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_repro.capturing.live import LIVE, is_readable
from pytest_repro.frameworks.base_values import Pairs
from pytest_repro.frameworks.stdlib_values import MAX_TEXT, normalise

#: Ends the text of an object that is only read in part: two with the same text may differ.
IN_PART = " (read in part)"
MAX_ITEMS, MAX_PAIRS, MAX_ITEM_TEXT = 6, 4, 24


def describe(value: object) -> str:
    """Describe a value in a short line without addresses."""
    try:
        text = _describe(value)
    except Exception as error:
        text = f"{type(value).__name__} ({type(error).__name__})"
    return normalise(text)[:MAX_TEXT]


def _describe(value: object) -> str:
    kind = type(value)
    reader = LIVE.of(kind).reader
    if reader.text is not None:
        return reader.text(value)
    name = kind.__name__
    if reader.is_container:
        return f"{name} of {_describe_children(reader.read(value))}"
    return name if reader.is_complete or is_readable(kind) else f"{name}{IN_PART}"


def _describe_children(node: Any) -> str:
    if type(node) is Pairs:
        count, most = len(node.keys), MAX_PAIRS
        pairs = zip(node.keys[:most], node.values[:most], strict=False)
        shown = [f"{_describe_item(key)}: {_describe_item(item)}" for key, item in pairs]
    else:
        count, most = len(node), MAX_ITEMS
        shown = [_describe_item(item) for item in node[:most]]
    return f"{count}: {', '.join(shown)}{', ...' if count > most else ''}"


def _describe_item(value: object) -> str:
    known = LIVE.of(type(value))
    text = known.reader.text if known.is_scalar or issubclass(type(value), np.generic) else None
    return type(value).__name__ if text is None else text(value)[:MAX_ITEM_TEXT]
