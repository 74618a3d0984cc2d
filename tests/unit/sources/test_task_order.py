"""Results taken in the order of the tasks, also from asyncio, which starts tasks in no order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pytest_repro.sources.pins import patched_sources
from tests.unit.sources.helpers import recorded

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
    with patched_sources(["order"]):
        assert gather(make) == list(range(NUMBER))
        assert gather(make, 5) == list(range(NUMBER))
    with patched_sources():
        found = gather(make)
    assert found != list(range(NUMBER))
    assert sorted(found) == list(range(NUMBER))


def test_a_task_that_fails_or_is_late_does_so_as_usual() -> None:
    async def fail() -> None:
        raise KeyError("lost")

    with patched_sources(["order"]):
        with pytest.raises(KeyError, match="lost"):
            gather(lambda: [fail()])
        with pytest.raises(asyncio.TimeoutError):
            gather(lambda: [asyncio.sleep(30)], 0.01)


def test_results_that_are_taken_as_they_come_are_noted() -> None:
    with recorded() as seen, patched_sources():
        gather(coroutines)
    assert ["unordered", "asyncio.as_completed"] in [[entry["kind"], entry["detail"]] for entry in seen.to_json()]


def test_replaced_functions_are_restored() -> None:
    before = asyncio.as_completed, asyncio.tasks.as_completed, threading.Event.wait, threading.Barrier.wait
    with patched_sources(["serial"]):
        assert asyncio.as_completed is not before[0]
    assert (asyncio.as_completed, asyncio.tasks.as_completed, threading.Event.wait, threading.Barrier.wait) == before
