"""Threads that take their tasks from one queue: one task at a time, in the order of the queue."""

from __future__ import annotations

import multiprocessing.process
import queue
import threading
import time

import pytest

from pytest_repro.running.probes import serial, sightings
from pytest_repro.running.probes.serial import orderly


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
    with orderly(frozenset({"serial"})):
        work_off(events)
    assert events == IN_ORDER


def test_without_the_pin_tasks_overlap() -> None:
    events: list[tuple[str, int]] = []
    with orderly(frozenset()):
        work_off(events)
    assert events != IN_ORDER
    assert sorted(events) == sorted(IN_ORDER)


def test_a_task_that_is_done_lets_the_next_one_begin() -> None:
    events: list[tuple[str, int]] = []
    with orderly(frozenset({"serial"})):
        work_off(events, calls_done=True)
    assert events == IN_ORDER


def test_a_thread_that_never_ends_its_task_is_not_waited_for_again(monkeypatch) -> None:
    monkeypatch.setattr(serial, "PATIENCE_S", 0.1)
    tasks: queue.Queue[int] = queue.Queue()
    taken, is_over = [], threading.Event()

    def work() -> None:
        taken.append(tasks.get())
        is_over.wait()

    with orderly(frozenset({"serial"})):
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


def test_an_empty_queue_is_still_empty_for_those_who_do_not_wait() -> None:
    with orderly(frozenset({"serial"})):
        tasks: queue.Queue[int] = queue.Queue()
        for arguments in ({"block": False}, {"timeout": 0.01}):
            try:
                tasks.get(**arguments)
            except queue.Empty:
                continue
            raise AssertionError("an item from an empty queue")
        tasks.put(1)
        assert tasks.get_nowait() == 1


def test_numba_keeps_one_thread_whatever_the_code_asks_for_and_gets_its_own_back() -> None:
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread is all that numba has here")
    numba.set_num_threads(2)
    with orderly(frozenset({"threads"})):
        numba.set_num_threads(2)
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == 2
    numba.set_num_threads(1)
    assert numba.get_num_threads() == 1


def test_a_process_is_noted_however_it_is_started() -> None:
    class Started:
        sentinel, returncode = 0, 0

        def __init__(self, process: object) -> None: ...

        def poll(self) -> int:
            return 0

    class Process(multiprocessing.process.BaseProcess):
        _Popen = Started

    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with orderly(frozenset()):
            Process().start()
    finally:
        sightings.collect_into(None)
    assert [(entry["kind"], entry["detail"]) for entry in seen.to_json()] == [("process", "Process.start")]
