"""Detection of equal subtrees of plain containers by their bytes, before they are turned into artifacts.

Turning 10,000 arrays into artifacts costs ten times as much as comparing their bytes. Only values of exactly the same
type on both sides are compared here. All others are compared as artifacts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

#: (artifacts, elements) of an equal subtree.
Equal = tuple[int, int]

_SMALL_BYTES = 64 * 1024
_PLAIN_KINDS = frozenset("biufcmMSU")
#: Limits for trees that share branches or contain cycles. `capturing` reports what is wrong with them.
_MAX_DEPTH = 50
_MAX_CONTAINERS = 100_000
#: dtypes already found plain, because a lookup is cheaper than reading the dtype's attributes.
_plain_dtypes: set[np.dtype[Any]] = set()


@dataclass(slots=True)
class Unequal:
    """Children of two dicts that are not known to be equal, and the extent of the equal ones."""

    actual: dict[str, Any]
    expected: dict[str, Any]
    artifacts: int
    elements: int


class _TooMuchError(Exception):
    """There are too many containers, or they are nested too deeply, for the shortcut."""


def strip_equal(actual: Any, expected: Any) -> Equal | Unequal | None:
    """Return the extent of equal values, or the unequal children of two dicts, or None if neither is known.

    Children are removed only from dicts, because in other containers positions are names.
    """
    try:
        if type(actual) is dict and type(expected) is dict:
            return _Walk().strip_dicts(actual, expected, 0)
        return _Walk().match(actual, expected, 0)
    except _TooMuchError:
        return None


class _Walk:
    """One walk over two trees, limited in depth and number of containers."""

    def __init__(self) -> None:
        self._containers = 0

    def _enter(self, depth: int) -> None:
        self._containers += 1
        if depth > _MAX_DEPTH or self._containers > _MAX_CONTAINERS:
            raise _TooMuchError

    def strip_dicts(self, actual: dict[Any, Any], expected: dict[Any, Any], depth: int) -> Equal | Unequal | None:
        """Separate the equal children of two dicts, whose keys must be strings, from the others."""
        self._enter(depth)
        if actual.keys() != expected.keys() or set(map(type, actual)) - {str}:
            return None
        artifacts = elements = 0
        left: list[str] = []
        ndarray, dtype, most = np.ndarray, None, 0
        for key, value in actual.items():
            other = expected[key]
            if type(value) is ndarray and type(other) is ndarray:
                # _match_arrays inlined for speed: the calls would add a third to the time
                same = value.dtype
                if same is not dtype and _is_plain(same):
                    dtype, most = same, _SMALL_BYTES // max(1, same.itemsize)
                if (
                    same is dtype
                    and other.dtype is dtype
                    and value.size <= most
                    and value.ndim == other.ndim
                    and value.tobytes() == other.tobytes()
                    # a vector's shape follows from its bytes, and reading two shapes costs as much as all the rest
                    and (value.ndim < 2 or value.shape == other.shape)
                ):
                    artifacts += 1
                    elements += value.size
                    continue
            found = self.match(value, other, depth + 1)
            if found is None:
                left.append(key)
            else:
                artifacts += found[0]
                elements += found[1]
        if not left:
            return artifacts, elements
        return Unequal({key: actual[key] for key in left}, {key: expected[key] for key in left}, artifacts, elements)

    def match(self, actual: Any, expected: Any, depth: int) -> Equal | None:
        """Return the extent of two values of one type that are equal in every bit, or None if that is not known."""
        kind = type(actual)
        if kind is not type(expected):
            return None
        if kind is np.ndarray:
            return _match_arrays(actual, expected)
        if kind is dict:
            found = self.strip_dicts(actual, expected, depth)
            return found if isinstance(found, tuple) else None
        if kind is list or kind is tuple:
            return self._match_sequences(actual, expected, depth)
        if kind in (int, str, bool, bytes):
            return (1, 1) if actual == expected else None
        return _match_tensors(actual, expected) if "torch" in sys.modules else None

    def _match_sequences(self, actual: Any, expected: Any, depth: int) -> Equal | None:
        self._enter(depth)
        if len(actual) != len(expected):
            return None
        artifacts = elements = 0
        for left, right in zip(actual, expected, strict=True):
            found = self.match(left, right, depth + 1)
            if found is None:
                return None
            artifacts += found[0]
            elements += found[1]
        return artifacts, elements


def _match_arrays(actual: Any, expected: Any) -> Equal | None:
    if actual.shape != expected.shape or actual.dtype is not expected.dtype or not _is_plain(actual.dtype):
        return None
    if actual.nbytes > _SMALL_BYTES:
        return None  # compare_arrays skips equal blocks just as fast, and reads them only once
    return (1, int(actual.size)) if actual.tobytes() == expected.tobytes() else None


def _is_plain(dtype: np.dtype[Any]) -> bool:
    if dtype in _plain_dtypes:
        return True
    known = dtype.kind in _PLAIN_KINDS and dtype.type.__module__ == "numpy"
    is_plain = known and dtype.names is None and dtype.itemsize > 0
    if is_plain:
        _plain_dtypes.add(dtype)
    return is_plain


def _match_tensors(actual: Any, expected: Any) -> Equal | None:
    from pytest_repro.frameworks import torch_comparing  # torch is loaded

    count = torch_comparing.count_if_equal(actual, expected)
    return None if count is None else (1, count)
