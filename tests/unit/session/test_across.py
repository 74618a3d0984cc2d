"""The axes of markers and of the command line, parsed once into typed requests."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from pytest_repro import Axis, Tolerance, assert_batch_invariant
from pytest_repro.errors import UsageError
from pytest_repro.session.across import (
    Across,
    arguments_of,
    check_test,
    collected_arguments,
    find_across,
    find_untaken,
)

SOURCE = """
    import pytest
    from pytest_repro import assert_batch_invariant

    SHARED = {"n": [3, 4], "device": ["cpu", "cpu:1"]}
    pytestmark = pytest.mark.reproducible(across=SHARED)

    def test_one(n, device): pass
    def test_two(n): pass
    def test_none(): pass

    @pytest.mark.reproducible(runs=3)
    def test_runs(n): pass

    @pytest.mark.reproducible(across=["hash_seed"])
    def test_closest(n): pass

    @pytest.mark.reproducible(across={"batch": assert_batch_invariant, "n": [1, 2]})
    def test_assertion(batch, n): pass

    @pytest.mark.reproducible(across={"threads": [1, 1]})
    def test_wrong(): pass
"""


@pytest.fixture
def items(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Collect the tests of the source, by name."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return {item.name: item for item in pytester.getitems(SOURCE)}


def test_assertions_are_separated_from_the_axes_with_values() -> None:
    partial = functools.partial(assert_batch_invariant, seed=3)
    across = Across.parse({"batch": partial, "n": Axis([1, 2], rtol=0.5), "threads": None})
    assert across.assertions == {"batch": partial}
    assert [(request.name, request.kind) for request in across.requests] == [("n", "argument"), ("threads", "built_in")]
    assert across.requests[0].tolerance == Tolerance(rtol=0.5)
    assert Across.parse({"batch": assert_batch_invariant}).requests == ()
    assert Across.parse(None) == Across.parse([]) == Across()


@pytest.mark.parametrize(
    "across, message",
    [
        ({"n": len}, "give a list of values, or one of assert_"),
        ({"threads": assert_batch_invariant}, "'threads' cannot name an argument of the test"),
        ({"all": assert_batch_invariant}, "'all' cannot name an argument of the test"),
        ({"n": []}, "the list of values is empty"),
    ],
)
def test_a_wrong_axis_is_rejected(across: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Across.parse(across)


def test_a_marker_is_parsed_once_for_all_its_tests(items: dict[str, Any]) -> None:
    found = find_across(items["test_one"])
    assert found is not None
    assert find_across(items["test_one"]) is found
    assert find_across(items["test_two"]) is found


def test_the_closest_marker_with_axes_decides(items: dict[str, Any]) -> None:
    assert find_across(items["test_runs"]) is find_across(items["test_one"])
    closest = find_across(items["test_closest"])
    assert closest is not None
    assert [request.name for request in closest.requests] == ["hash_seed"]


def test_a_test_is_checked_against_its_arguments(items: dict[str, Any]) -> None:
    check_test(items["test_one"])
    check_test(items["test_assertion"])
    with pytest.raises(UsageError, match=r"::test_none: across= names 'n', no built-in axis and no argument"):
        check_test(items["test_none"])
    with pytest.raises(UsageError, match="1 is given twice"):
        check_test(items["test_wrong"])


@pytest.mark.parametrize(
    "name, option, ini, expected",
    [
        ("test_one", "", "", {"n": 3, "device": "cpu"}),
        ("test_two", "", "", {"n": 3}),
        ("test_two", "n=7:8", "", {"n": 7}),
        ("test_two", "m=7:8", "", {"n": 3}),
        ("test_two", "", "n=7:8", {"n": 3}),
        ("test_assertion", "", "", {"batch": assert_batch_invariant, "n": 1}),
    ],
)
def test_a_test_is_collected_with_the_values_of_the_baseline(
    items: dict[str, Any], name: str, option: str, ini: str, expected: dict[str, Any]
) -> None:
    item = items[name]
    assert collected_arguments(item, option, ini, arguments_of(item)) == expected


def test_the_ini_file_gives_the_values_of_a_test_without_axes(pytester: pytest.Pytester) -> None:
    item = pytester.getitem("def test_it(n): pass", "test_it")
    assert collected_arguments(item, "", "n=7:8", ("n",)) == {"n": 7}
    assert collected_arguments(item, "n=5:6", "n=7:8", ("n",)) == {"n": 5}
    assert collected_arguments(item, "", "", ("n",)) == {}


def test_a_name_that_no_test_takes_is_described(items: dict[str, Any]) -> None:
    one, two = items["test_one"], items["test_two"]
    assert find_untaken("n=1:2,threads", "--repro-across", [two], []) == ""
    assert find_untaken("device=cpu:cuda", "--repro-across", [two], []) == ""
    assert "did you mean the argument 'n'?" in find_untaken("nn=1:2", "--repro-across", [one], [])
    assert "did you mean the axis 'threads'?" in find_untaken("thread=1:2", "--repro-across", [one], [])
    assert find_untaken("batch=1:2", "it", [two], [items["test_assertion"]]) == ""
    assert find_untaken("batch=1:2", "it", [], []) == ""
    with pytest.raises(UsageError, match=r"it: .*twice"):
        find_untaken("n=1:2,n=3:4", "it", [one], [])
