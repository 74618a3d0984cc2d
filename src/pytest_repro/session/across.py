"""The axes that a marker or the command line requests, parsed once into typed requests."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.axes import AxisRequest, check_arguments, is_built_in, parse_across, parse_across_option
from pytest_repro.engines.base import DEVICE
from pytest_repro.errors import UsageError

if TYPE_CHECKING:
    from pytest_repro.equivalences import Equivalence

Assertion = Callable[..., "Equivalence"]


@dataclass(frozen=True, slots=True)
class Across:
    """A parsed ``across=``: axes with values, and equivalence assertions by the argument that each is bound to."""

    requests: tuple[AxisRequest, ...] = ()
    assertions: Mapping[str, Assertion] = field(default_factory=dict)

    @classmethod
    def parse(cls, across: object) -> Across:
        """Parse a marker's ``across=``, and raise UsageError if it is wrong."""
        assertions: dict[str, Assertion] = {}
        if isinstance(across, Mapping):
            assertions = {name: value for name, value in across.items() if callable(value)}
            across = {name: value for name, value in across.items() if name not in assertions}
        for name, assertion in assertions.items():
            _check_assertion(name, assertion)
        return cls(parse_across(across), assertions)


#: Parsed markers of a session by the identity of their ``across=`` object, which the entry keeps alive.
_PARSED_KEY = pytest.StashKey[dict[int, tuple[object, Across]]]()


def find_across(node: pytest.Item) -> Across | None:
    """Return the ``across=`` of a test's closest marker that has one, or None. UsageError does not name the test."""
    for mark in node.iter_markers("reproducible"):
        if "across" in mark.kwargs:
            given = mark.kwargs["across"]
            parsed = node.config.stash.setdefault(_PARSED_KEY, {})
            if id(given) not in parsed:
                parsed[id(given)] = given, Across.parse(given)
            return parsed[id(given)][1]
    return None


def check_assertions(assertions: Collection[str], arguments: Collection[str], where: str) -> None:
    """Raise UsageError unless the test takes an argument for each assertion."""
    for name in assertions:
        if name not in arguments:
            raise UsageError(
                f"{where}: across= gives the assertion {name!r}, which the test does not take: add it to the test's "
                "arguments, and call it there"
            )


def _check_assertion(name: Any, assertion: Assertion) -> None:
    from pytest_repro import equivalences

    known = [getattr(equivalences, each) for each in equivalences.__all__ if each.startswith("assert_")]
    function = assertion.func if isinstance(assertion, functools.partial) else assertion
    if function not in known:
        raise UsageError(
            f"across={{{name!r}: {getattr(function, '__name__', function)!r}}}: give a list of values, or one of "
            f"{', '.join(each.__name__ for each in known)}, with functools.partial to bind further arguments"
        )
    if not isinstance(name, str) or not name.isidentifier() or is_built_in(name) or name in ("all", "repro"):
        raise UsageError(
            f"across={{{name!r}: {function.__name__}}}: {name!r} cannot name an argument of the test here, because it "
            "is not an identifier or already has a meaning; use, for example, 'thread_count', 'resume' or 'batch'"
        )


def arguments_of(item: pytest.Item) -> Collection[str]:
    """Return the argument names of a test function. Any other item has none."""
    return item._fixtureinfo.argnames if isinstance(item, pytest.Function) else ()


def check_test(item: pytest.Function) -> None:
    """Raise UsageError for a test that cannot be repeated, or whose ``across=`` does not fit its arguments."""
    across = find_across(item)
    if across is not None:
        names = arguments_of(item)
        check_assertions(across.assertions, names, item.nodeid)
        check_arguments(across.requests, names, item.nodeid)
    if inspect.isgeneratorfunction(item.obj) or inspect.isasyncgenfunction(item.obj):
        raise UsageError("a generator cannot be a test: return the results, or pass them to repro.capture")


def collected_arguments(node: pytest.Item, option: str, ini: str, names: Collection[str]) -> dict[str, Any]:
    """Return the values with which a test's axes that are arguments are collected, before a run sets them.

    The marker's arguments keep their first values even where the text of ``--repro-across`` varies other axes, since
    the test could not be called without them. The text of the ini file is for a test whose marker names no axes.
    `names` are the arguments of the test and its fixtures.
    """
    marked = find_across(node)
    text = option or (ini if marked is None else "")
    given: dict[str, Any] = {}
    for requests in (marked.requests if marked is not None else (), parse_across_option(text) if text else ()):
        kept = check_arguments(requests, names, "")
        given |= {request.name: request.values[0] for request in kept if request.kind == "argument" and request.values}
        if DEVICE in names and any(request.name == DEVICE for request in kept):
            given[DEVICE] = "cpu"
    if marked is not None:
        check_assertions(marked.assertions, names, "")
        given |= marked.assertions
    return given


def find_untaken(text: str, source: str, items: Sequence[pytest.Item], others: Sequence[pytest.Item]) -> str:
    """Describe a name that is neither an axis nor an argument of any test, so that nothing would vary it.

    `items` are the tests to be run that take axes: without any, the name cannot mislead. The arguments of `others`,
    which were deselected, are valid names too. `source` is the option or the ini file, for messages.
    """
    if not items:
        return ""
    try:
        requests = parse_across_option(text)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    taken = {name for item in (*items, *others) for name in arguments_of(item)}
    for request in requests:
        if request.kind == "argument" and request.name not in taken:
            return (
                f"{source} names {request.name!r}, no built-in axis and no argument of a reproducible test "
                f"collected here; {_suggest(request, taken)}"
            )
    return ""


def _suggest(request: AxisRequest, arguments: Collection[str]) -> str:
    close = difflib.get_close_matches(request.name, sorted(arguments), n=1)
    if close:
        return f"did you mean the argument {close[0]!r}?"
    if request.suggestion:
        return f"did you mean the axis {request.suggestion!r}?"
    return "give a test such an argument, or omit the name"
