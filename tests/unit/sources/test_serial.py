"""What concurrency is held to: one thread in each library, and which processes are started."""

from __future__ import annotations

import multiprocessing.process

import pytest

from pytest_repro.sources import sightings
from pytest_repro.sources.serial import orderly


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
    try:
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # torch's are the same


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
