"""Threads in turn: one starts after the other, and they take from a queue one at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import pytest

from pytest_repro.sources import turns
from pytest_repro.sources.pins import patched_sources


def work_off(events: list[tuple[str, int]], *, workers: int = 4, daemon: bool = True, calls_done: bool = False):
    tasks: queue.Queue[int | None] = queue.Queue(maxsize=3)

    def work() -> None:
        while (task := tasks.get()) is not None:
            events.append(("begin", task))
            time.sleep(0.002 * (task % 3))
            events.append(("end", task))
            if calls_done:
                tasks.task_done()
                time.sleep(0.004)

    threads = [threading.Thread(target=work, daemon=daemon) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for task in [*range(12), *[None] * workers]:
        tasks.put(task)
    for thread in threads:
        thread.join()


IN_ORDER = [(moment, task) for task in range(12) for moment in ("begin", "end")]


def test_a_task_begins_when_the_one_before_has_ended_whoever_took_it() -> None:
    events: list[tuple[str, int]] = []
    with patched_sources(["serial"]):
        work_off(events)
    assert events == IN_ORDER


def test_without_the_pin_tasks_overlap() -> None:
    events: list[tuple[str, int]] = []
    with patched_sources():
        work_off(events)
    assert events != IN_ORDER
    assert sorted(events) == sorted(IN_ORDER)


def test_a_task_that_is_done_lets_the_next_one_begin() -> None:
    events: list[tuple[str, int]] = []
    with patched_sources(["serial"]):
        work_off(events, calls_done=True)
    assert events == IN_ORDER


def test_a_thread_that_never_ends_its_task_is_not_waited_for_again(monkeypatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.1)
    tasks: queue.Queue[int] = queue.Queue()
    taken, is_over = [], threading.Event()

    def work() -> None:
        taken.append(tasks.get())
        is_over.wait()

    with patched_sources(["serial"]):
        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for task in range(3):
            tasks.put(task)
        while len(taken) < 3:
            time.sleep(0.001)
        is_over.set()
        for thread in threads:
            thread.join()
    assert taken == [0, 1, 2]


def test_an_empty_queue_is_still_empty_for_a_thread_that_does_not_wait() -> None:
    with patched_sources(["serial"]):
        tasks: queue.Queue[int] = queue.Queue()
        for arguments in ({"block": False}, {"timeout": 0.01}):
            try:
                tasks.get(**arguments)
            except queue.Empty:
                continue
            raise AssertionError("an item from an empty queue")
        tasks.put(1)
        assert tasks.get_nowait() == 1


def race_to_fill(*, readers: int = 3, daemon: bool = False, room: int = 4) -> list[tuple[int, int]]:
    box: queue.Queue[tuple[int, int]] = queue.Queue(room)

    def read(number: int) -> None:
        for row in range(20):
            time.sleep(1e-5 * ((number * 7 + row) % 3))
            box.put((number, row))

    for number in range(readers):
        threading.Thread(target=read, args=(number,), daemon=daemon).start()
    return [box.get(timeout=10) for _ in range(20 * readers)]


IN_TURN = [(number, row) for number in range(3) for row in range(20)]


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("room", [1, 4, 0])
def test_threads_that_fill_one_queue_do_so_one_after_the_other(daemon: bool, room: int) -> None:
    with patched_sources(["serial"]):
        assert race_to_fill(daemon=daemon, room=room) == IN_TURN


def test_without_the_pin_they_fill_it_at_the_same_time() -> None:
    with patched_sources():
        found = race_to_fill()
    assert found != IN_TURN
    assert sorted(found) == IN_TURN


def test_a_thread_that_empties_a_queue_is_released_though_it_was_started_last() -> None:
    box: queue.Queue[int | None] = queue.Queue(2)
    taken: list[int] = []

    def fill(first: int) -> None:
        for number in range(first, first + 8):
            box.put(number)
        box.put(None)

    def take() -> None:
        ended = 0
        while ended < 2:
            if (number := box.get()) is None:
                ended += 1
            else:
                taken.append(number)

    with patched_sources(["serial"]):
        threads = [threading.Thread(target=fill, args=(0,)), threading.Thread(target=fill, args=(8,))]
        threads.append(threading.Thread(target=take))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert taken == list(range(16))


def seconds(make: Callable[[], None]) -> float:
    started = time.monotonic()
    with patched_sources(["serial"]):
        make()
    return time.monotonic() - started


def test_threads_that_wait_for_each_other_are_not_waited_for() -> None:
    def meet() -> None:
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=barrier.wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert seconds(meet) < turns.PATIENCE_S


def test_a_daemon_that_never_ends_is_waited_for_once_and_keeps_none_back(monkeypatch) -> None:
    monkeypatch.setattr(turns, "DAEMONS_PATIENCE_S", 0.1)
    is_over, events = threading.Event(), []

    def beat() -> None:
        while not is_over.is_set():
            time.sleep(0.001)

    def work() -> None:
        threading.Thread(target=beat, daemon=True).start()
        for number in range(3):
            threading.Thread(target=events.append, args=(number,)).start()
        is_over.set()

    assert seconds(work) < 1.0
    assert events == [0, 1, 2]


def test_the_run_of_a_subclass_is_its_own() -> None:
    class Reader(threading.Thread):
        def __init__(self, box: queue.Queue[str], name: str) -> None:
            super().__init__(name=name)
            self.box = box

        def run(self) -> None:
            for _ in range(3):
                self.box.put(self.name)

    with patched_sources(["serial"]):
        box: queue.Queue[str] = queue.Queue(1)
        for name in "ab":
            Reader(box, name).start()
        assert [box.get() for _ in range(6)] == list("aaabbb")
