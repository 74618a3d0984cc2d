"""Results taken in the order of the tasks, and those of asyncio, which begins tasks in no order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pytest_repro.sources import sightings
from pytest_repro.sources.serial import orderly
from pytest_repro.sources.sightings import Sightings

NUMBER = 12


async def task(number: int) -> int:
    await asyncio.sleep(0.01 * ((number * 5) % NUMBER) / NUMBER)
    return number


def coroutines() -> Iterable[Any]:
    return [task(number) for number in range(NUMBER)]


def a_set_of_tasks() -> Iterable[Any]:
    return {asyncio.create_task(task(number)) for number in range(NUMBER)}


def gather(make: Callable[[], Iterable[Any]], timeout: float | None = None) -> list[int]:
    async def collect() -> list[int]:
        return [await following for following in asyncio.as_completed(make(), timeout=timeout)]

    return asyncio.run(collect())


@pytest.mark.parametrize("make", [coroutines, a_set_of_tasks])
def test_results_of_asyncio_come_in_the_order_of_the_tasks(make: Callable[[], Iterable[Any]]) -> None:
    with orderly(frozenset({"order"})):
        assert gather(make) == list(range(NUMBER))
        assert gather(make, 5) == list(range(NUMBER))
    with orderly(frozenset()):
        found = gather(make)
    assert found != list(range(NUMBER))
    assert sorted(found) == list(range(NUMBER))


def test_a_task_that_fails_or_comes_late_does_so_as_it_would() -> None:
    async def fail() -> None:
        raise KeyError("lost")

    with orderly(frozenset({"order"})):
        with pytest.raises(KeyError, match="lost"):
            gather(lambda: [fail()])
        with pytest.raises(asyncio.TimeoutError):
            gather(lambda: [asyncio.sleep(30)], 0.01)


def test_it_is_noted_that_results_are_taken_as_they_come() -> None:
    seen = Sightings()
    sightings.collect_into(seen)
    try:
        with orderly(frozenset()):
            gather(coroutines)
    finally:
        sightings.collect_into(None)
    assert ["unordered", "asyncio.as_completed"] in [[entry["kind"], entry["detail"]] for entry in seen.to_json()]


def test_what_was_replaced_is_put_back() -> None:
    before = asyncio.as_completed, asyncio.tasks.as_completed, threading.Event.wait, threading.Barrier.wait
    with orderly(frozenset({"serial"})):
        assert asyncio.as_completed is not before[0]
    assert (asyncio.as_completed, asyncio.tasks.as_completed, threading.Event.wait, threading.Barrier.wait) == before
