"""Ways to cut a batch, and orders of its samples."""

from __future__ import annotations

import itertools
from typing import Any

from pytest_repro.errors import UsageError
from pytest_repro.strategies.needs import st


def batch_splits(count: int, *, max_parts: int | None = None) -> Any:
    """Generate ways to cut `count` samples into consecutive batches of any sizes.

    Parameters
    ----------
    count : int, at least 1
    max_parts : int, optional

    Returns
    -------
    strategy of list of int
        Sizes of the batches, each at least 1, with the sum `count`. Shrinks towards one batch.
    """
    _check(count)
    most = count if max_parts is None else min(count, _check(max_parts, "max_parts"))
    cuts = st.sets(st.integers(1, count - 1), max_size=most - 1) if count > 1 else st.just(set())
    return cuts.map(lambda places: _sizes(sorted(places), count))


def _sizes(places: list[int], count: int) -> list[int]:
    bounds = [0, *places, count]
    return [end - start for start, end in itertools.pairwise(bounds)]


def permutations(count: int) -> Any:
    """Generate orders of `count` samples.

    Returns
    -------
    strategy of list of int
        Each index once. Shrinks towards the order as given.
    """
    return st.permutations(range(_check(count)))


def _check(count: int, name: str = "count") -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, got {count!r}")
    return count
