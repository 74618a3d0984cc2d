"""Locals of a function at its return, by each of the interpreter's ways to read them."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro.tracing.local_variables import watch_locals

if not hasattr(sys, "monitoring") and sys.version_info[:2] != (3, 11):
    pytest.skip("this interpreter has neither sys.monitoring nor the instructions of 3.11", allow_module_level=True)


def collect(function: Callable[..., Any], *args: Any) -> list[dict[str, object]]:
    """Call the function while watching it, and return the locals of each of its calls."""
    seen: list[dict[str, object]] = []
    with watch_locals(function, lambda variables, value: seen.append(dict(variables))):
        function(*args)
    return seen


def add_up(numbers: list[int]) -> int:
    total = 0
    for number in numbers:
        total += number
    return total


def return_early(flag: bool) -> None:
    before = 1
    if flag:
        return
    after = 2
    del before, after


def recurse(depth: int) -> int:
    below = recurse(depth - 1) if depth else 0
    return below + 1


def call_others() -> None:
    found = [add_up([1]), sorted([2, 1])]
    found.append([x for x in range(3)])  # noqa: C416


def raise_at_the_end() -> None:
    reached = 1
    raise OSError(reached)


def return_from_a_handler() -> str:
    try:
        1 / 0
    except ZeroDivisionError as error:
        caught = str(error)
        return caught  # noqa: RET504 - a local at the return
    finally:
        cleared = True
        del cleared


def test_the_locals_are_those_at_the_end() -> None:
    assert collect(add_up, [1, 2]) == [{"numbers": [1, 2], "total": 3, "number": 2}]
    assert collect(return_early, True) == [{"flag": True, "before": 1}]
    assert collect(return_early, False) == [{"flag": False}]


def test_locals_of_a_return_within_a_handler_are_read() -> None:
    (seen,) = collect(return_from_a_handler)
    assert seen["caught"] == "division by zero"


def test_the_returned_value_is_handed_over() -> None:
    values: list[object] = []
    with watch_locals(add_up, lambda variables, value: values.append(value)):
        assert add_up([1, 2]) == 3
    assert values == [3]


def test_locals_of_other_functions_are_not_read() -> None:
    (seen,) = collect(call_others)
    assert seen["found"] == [1, [1, 2], [0, 1, 2]]


def test_the_outermost_call_of_a_recursion_comes_last() -> None:
    assert [frame["depth"] for frame in collect(recurse, 2)] == [0, 1, 2]


def test_a_coroutine_is_seen_at_its_end() -> None:
    async def wait() -> int:
        first = 1
        await asyncio.sleep(0)
        second = 2
        return first + second

    seen: list[dict[str, object]] = []
    with watch_locals(wait, lambda variables, value: seen.append(dict(variables))):
        asyncio.run(wait())
    assert seen == [{"first": 1, "second": 2}]


def test_a_closure_keeps_its_cells() -> None:
    outer = [1]

    def inner() -> None:
        here = len(outer)
        outer.append(here)

    assert collect(inner)[0]["here"] == 1
    assert outer == [1, 1]


def test_another_thread_is_watched_as_well() -> None:
    seen: list[dict[str, object]] = []
    with watch_locals(add_up, lambda variables, value: seen.append(dict(variables))):
        thread = threading.Thread(target=add_up, args=([1],))
        thread.start()
        thread.join()
    assert [frame["total"] for frame in seen] == [1]


def test_the_function_is_unchanged_afterwards_also_by_an_exception() -> None:
    before = raise_at_the_end.__code__
    with pytest.raises(OSError, match="1"):
        collect(raise_at_the_end)
    assert raise_at_the_end.__code__ is before


def test_trace_and_profile_functions_are_the_users_within_the_call() -> None:
    def look() -> tuple[object, object]:
        return sys.gettrace(), sys.getprofile()

    before = look()
    with watch_locals(look, lambda variables, value: None):
        assert look() == before


def test_nothing_holds_a_local_after_the_call() -> None:
    class Model:
        pass

    held: list[weakref.ref[Model]] = []

    def make() -> None:
        model = Model()
        held.append(weakref.ref(model))

    with watch_locals(make, lambda variables, value: None):
        make()
        assert [reference() for reference in held] == [None]


def test_a_watched_function_may_be_watched_within_itself() -> None:
    outer: list[object] = []
    inner: list[object] = []
    with watch_locals(add_up, lambda variables, value: outer.append(value)):
        with watch_locals(add_up, lambda variables, value: inner.append(value)):
            add_up([1])
        add_up([2])
    assert inner == [1]
    assert 2 in outer


@pytest.mark.parametrize("function", [len, functools.partial(add_up, [1]), None])
def test_a_callable_without_code_is_not_watched(function: Any) -> None:
    with watch_locals(function, lambda variables, value: pytest.fail("watched")):
        pass
