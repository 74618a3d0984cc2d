"""Strategies for choices: cuts of a batch, orders of its samples, and conditions to vary."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from pytest_repro.axes import parse_across, plan_conditions
from pytest_repro.axes.integers import check_integer
from pytest_repro.errors import UsageError


def batch_splits(count: int, *, max_parts: int | None = None) -> Any:
    """Generate ways to cut `count` samples into consecutive batches of any sizes.

    Parameters
    ----------
    count : int, at least 1
    max_parts : int, optional

    Returns
    -------
    strategy of list of int
        Sizes of the batches, each at least 1, whose sum is `count`. Shrinks towards one batch.

    Raises
    ------
    UsageError
        If an argument is not an integer, or is below 1.
    """
    check_integer("count", count, least=1)
    most = count if max_parts is None else min(count, check_integer("max_parts", max_parts, least=1))
    cuts = st.sets(st.integers(1, count - 1), max_size=most - 1) if count > 1 else st.just(set())
    return cuts.map(lambda places: [end - begin for begin, end in itertools.pairwise([0, *sorted(places), count])])


def permutations(count: int) -> Any:
    """Generate orders of `count` samples.

    Parameters
    ----------
    count : int, at least 1

    Returns
    -------
    strategy of list of int
        Each index once. Shrinks towards the order as given.

    Raises
    ------
    UsageError
        If `count` is not an integer, or is below 1.
    """
    return st.permutations(range(check_integer("count", count, least=1)))


def conditions(across: Mapping[str, Any] | Sequence[str]) -> Any:
    """Generate ``across=`` mappings for :func:`pytest_repro.examine`: some of the axes, each with one other value.

    Parameters
    ----------
    across : list of axes, or mapping of axis or argument to values
        As :func:`~pytest_repro.examine` takes it. The first value of each is the baseline's.

    Returns
    -------
    strategy of dict of axis -> [baseline, other]
        At least one axis. Shrinks towards one axis, and towards the values that are listed first.

    Raises
    ------
    UsageError
        If an axis cannot be varied on this machine, or no axis is given.

    Examples
    --------
    ::

        @given(strategies.conditions({"threads": [1, 2, 3], "timezone": ["UTC", "Asia/Tokyo"]}))
        def test_anywhere(across):
            assert examine(train, runs=1, across=across)
    """
    values = {axis.name: axis.values for axis in plan_conditions(parse_across(across)).axes}
    if not values:
        raise UsageError(f"conditions({across!r}): no axis can be varied here")
    # One draw for each axis, the baseline's value first, so that each axis shrinks by itself.
    drawn = st.fixed_dictionaries({name: st.sampled_from(range(len(found))) for name, found in values.items()})
    chosen = drawn.filter(lambda places: any(places.values()))
    return chosen.map(
        lambda places: {name: [values[name][0], values[name][place]] for name, place in places.items() if place}
    )
