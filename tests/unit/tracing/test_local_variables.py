"""Locals of a function at its end, by each of the interpreter's ways to read them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_repro.tracing import local_variables
from pytest_repro.tracing.local_variables import watch_locals

WAYS = ["_traced", "_profiled", *(["_monitored"] if hasattr(sys, "monitoring") else [])]


@pytest.fixture(params=WAYS)
def watch(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return one of the ways."""
    way: Callable[..., Any] = getattr(local_variables, request.param)
    if request.param == "_traced" and sys.gettrace() is not None:
        pytest.skip("something else traces this session")
    return way


def collect(watch: Callable[..., Any], function: Callable[..., Any], *args: Any) -> list[dict[str, object]]:
    """Call the function while watching it."""
    seen: list[dict[str, object]] = []

    def keep(variables: Mapping[str, object]) -> None:
        seen.append(dict(variables))

    with watch(function.__code__, keep):
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


def test_the_locals_are_those_at_the_end(watch: Callable[..., Any]) -> None:
    assert collect(watch, add_up, [1, 2]) == [{"numbers": [1, 2], "total": 3, "number": 2}]
    assert collect(watch, return_early, True) == [{"flag": True, "before": 1}]
    assert collect(watch, return_early, False) == [{"flag": False}]


def test_locals_of_other_functions_are_not_read(watch: Callable[..., Any]) -> None:
    (seen,) = collect(watch, call_others)
    assert seen["found"] == [1, [1, 2], [0, 1, 2]]


def test_the_outermost_call_of_a_recursion_comes_last(watch: Callable[..., Any]) -> None:
    assert [frame["depth"] for frame in collect(watch, recurse, 2)] == [0, 1, 2]


def test_a_coroutine_is_seen_at_its_end(watch: Callable[..., Any]) -> None:
    async def wait() -> int:
        first = 1
        await asyncio.sleep(0)
        second = 2
        return first + second

    seen: list[dict[str, object]] = []
    with watch(wait.__code__, lambda variables: seen.append(dict(variables))):
        asyncio.run(wait())
    assert seen[-1] == {"first": 1, "second": 2}


def test_trace_and_profile_functions_are_restored_after_an_exception(watch: Callable[..., Any]) -> None:
    before = sys.gettrace(), sys.getprofile()
    with pytest.raises(OSError, match="1"):
        collect(watch, raise_at_the_end)
    assert (sys.gettrace(), sys.getprofile()) == before


def test_an_active_profiler_goes_on() -> None:
    events: list[str] = []

    def profile(frame: Any, event: str, arg: object) -> None:
        events.append(event)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        seen = collect(local_variables._profiled, add_up, [3])
    finally:
        sys.setprofile(before)
    assert seen[0]["total"] == 3
    assert "call" in events
    assert "return" in events


def test_an_active_trace_function_is_not_replaced() -> None:
    traced: list[str] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code is add_up.__code__:
            traced.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        seen = collect(watch_locals, add_up, [3])
        is_kept = sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert seen[0]["total"] == 3
    assert is_kept
    assert "line" in traced


def test_another_thread_does_not_disturb_the_locals(watch: Callable[..., Any]) -> None:
    def in_a_thread() -> None:
        thread = threading.Thread(target=add_up, args=([1],))
        thread.start()
        thread.join()
        done = True
        del done

    assert collect(watch, in_a_thread)[-1].keys() == {"thread"}
