"""Threads that wait at a barrier or for an event, let through one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pytest_repro.sources import gates
from pytest_repro.sources.pins import patched_sources

THREADS = 5
IN_TURN = [(number, row) for number in range(THREADS) for row in range(10)]


def work(events: list[tuple[int, int]], number: int) -> None:
    for row in range(10):
        time.sleep(1e-4 * ((number * 7 + row) % 3))
        events.append((number, row))


def run(*targets: Callable[[], None]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def past_a_barrier(rounds: int = 1) -> list[tuple[int, int]]:
    events: list[tuple[int, int]] = []
    barrier = threading.Barrier(THREADS)

    def make(number: int) -> Callable[[], None]:
        def target() -> None:
            for _ in range(rounds):
                barrier.wait(20)
                work(events, number)

        return target

    run(*map(make, range(THREADS)))
    return events


def past_an_event() -> list[tuple[int, int]]:
    events: list[tuple[int, int]] = []
    gate = threading.Event()

    def make(number: int) -> threading.Thread:
        def target() -> None:
            assert gate.wait(20)
            work(events, number)

        return threading.Thread(target=target)

    threads = [make(number) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(20)
    return events


@pytest.mark.parametrize("past", [past_a_barrier, past_an_event])
def test_threads_let_through_together_continue_one_after_the_other(past: Callable[[], list[tuple[int, int]]]) -> None:
    with patched_sources(["serial"]):
        assert past() == IN_TURN
    with patched_sources():
        found = past()
    assert found != IN_TURN
    assert sorted(found) == IN_TURN


def test_each_round_of_a_barrier_is_in_turn() -> None:
    with patched_sources(["serial"]):
        found = past_a_barrier(rounds=3)
    assert found == IN_TURN * 3


def test_the_starter_of_the_threads_may_be_one_of_those_at_the_barrier() -> None:
    events: list[str] = []
    with patched_sources(["serial"]):
        barrier = threading.Barrier(3)

        def target() -> None:
            barrier.wait(20)
            events.append("thread")

        threads = [threading.Thread(target=target) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait(20)
        events.append("starter")
        for thread in threads:
            thread.join(20)
    assert events == ["thread", "thread", "starter"]


def test_a_thread_that_never_ends_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "PATIENCE_S", 0.3)
    is_over, gate = threading.Event(), threading.Event()
    seen: list[int] = []

    def forever() -> None:
        gate.wait(20)
        while not is_over.is_set():
            time.sleep(0.001)

    started = time.monotonic()
    with patched_sources(["serial"]):
        threads = [threading.Thread(target=forever, daemon=True)]
        threads += [threading.Thread(target=lambda: (gate.wait(20), seen.append(1))) for _ in range(4)]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads[1:]:
            thread.join(20)
        is_over.set()
        threads[0].join(20)
    assert len(seen) == 4
    assert time.monotonic() - started < 5


def test_a_wait_that_fails_does_so_as_usual() -> None:
    with patched_sources(["serial"]):
        event, barrier = threading.Event(), threading.Barrier(2)
        assert not event.wait(0.01)
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(0.01)
        barrier.reset()
        ways: list[int] = []
        run(*[lambda: ways.append(barrier.wait(20))] * 2)
        assert sorted(ways) == [0, 1]
        event.set()
        assert event.wait()
        assert event.wait(0)
