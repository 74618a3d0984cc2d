"""What ``--repro-across`` means for each test: which take its axes, which keep their own, and a name that none has."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, TolerancePolicy

if TYPE_CHECKING:
    from pytest_repro.session.settings import SessionSettings


def takes_option(item: pytest.Item, session: SessionSettings) -> bool:
    """Tell whether a test is varied along the command line's axes; not if they are all arguments that it lacks.

    Such a test keeps its own: what names nothing of it must not take them away.

    Raises
    ------
    UsageError
        If the command line's text cannot be read.
    """
    if not session.across_on_command_line:
        return False
    from pytest_repro.axes import check_arguments, parse_across_option

    assert session.across is not None
    return bool(check_arguments(parse_across_option(session.across), _arguments_of(item), str(item.nodeid)))


def axis_tolerances(session: SessionSettings, own: object) -> dict[str, Tolerance | TolerancePolicy]:
    """Return the bounds that a marker gives its axes: the command line can name an axis' values, but not its bounds."""
    if not session.across_on_command_line:
        return {}
    from pytest_repro.axes import Axis

    axes = own.items() if isinstance(own, Mapping) else ()
    return {name: axis.tolerance for name, axis in axes if isinstance(axis, Axis) and axis.tolerance is not None}


def find_untaken(items: Sequence[pytest.Item], others: Sequence[pytest.Item], session: SessionSettings) -> str:
    """Tell of a name that is no axis and no argument of any test: nothing would vary it, and nobody would know.

    Parameters
    ----------
    items : sequence of pytest.Item
        The tests to be run that take axes; without any there is no verdict to mislead.
    others : sequence of pytest.Item
        Tests that were deselected: the names that they take are no mistakes.
    session : SessionSettings

    Returns
    -------
    str
        Empty if there is no such name.

    Raises
    ------
    UsageError
        If the text of the option or the ini file cannot be read.
    """
    if session.across is None or not items:
        return ""
    from pytest_repro.axes import parse_across_option

    taken = {name for item in (*items, *others) for name in _arguments_of(item)}
    source = "--repro-across" if session.across_on_command_line else "repro_across in the ini file"
    try:
        requests = parse_across_option(session.across)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    for request in requests:
        if request.kind == "argument" and request.name not in taken:
            return (
                f"{source} names {request.name!r}, no built-in axis and no argument of a reproducible test "
                f"collected here; {_find_meant(request.name, request.suggestion, taken)}"
            )
    return ""


def _find_meant(name: str, axis: str, arguments: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(arguments), n=1)
    if close:
        return f"did you mean the argument {close[0]!r}?"
    if axis:
        return f"did you mean the axis {axis!r}?"
    return "give a test such an argument, or leave the name out"


def _arguments_of(item: pytest.Item) -> Collection[str]:
    """Return the names that a test function takes; what is no function takes none."""
    return item._fixtureinfo.argnames if isinstance(item, pytest.Function) else ()
