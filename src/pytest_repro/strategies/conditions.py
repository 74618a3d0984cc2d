"""Conditions to vary: which axes, and from which value to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_repro.axes import parse_across, plan_conditions
from pytest_repro.errors import UsageError
from pytest_repro.strategies.needs import st


def conditions(across: Mapping[str, Any] | Sequence[str]) -> Any:
    """Generate ``across=`` mappings for :func:`pytest_repro.examine`: some of the axes, each with one other value.

    Parameters
    ----------
    across : list of axes, or mapping of axis or argument to values
        As :func:`~pytest_repro.examine` takes it; the first value of each is the baseline's.

    Returns
    -------
    strategy of dict of axis -> [baseline, other]
        At least one axis. Shrinks towards one axis, and towards the values that stand first.

    Raises
    ------
    UsageError
        If an axis cannot be varied here, or there is none.

    Examples
    --------
    ::

        @given(strategies.conditions({"threads": [1, 2, 3], "timezone": ["UTC", "Asia/Tokyo"]}))
        def test_anywhere(across):
            assert examine(train, runs=1, across=across)
    """
    values = {axis.name: axis.values for axis in plan_conditions(parse_across(across)).axes}
    if not values:
        raise UsageError(f"conditions({across!r}): there is no axis to vary here")
    # One draw for each axis, the baseline's value first: each shrinks by itself.
    drawn = st.fixed_dictionaries({name: st.sampled_from(range(len(found))) for name, found in values.items()})
    chosen = drawn.filter(lambda places: any(places.values()))
    return chosen.map(
        lambda places: {name: [values[name][0], values[name][place]] for name, place in places.items() if place}
    )
