"""The number of runs at the same time, and how they end."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_repro.engines import concurrency
from pytest_repro.engines.base import PlannedExecution
from pytest_repro.engines.concurrency import RunsAhead
from pytest_repro.model import Condition, TolerancePolicy


def plan(count: int, **condition: int) -> list[PlannedExecution]:
    given = Condition(tuple(condition.items()))
    return [PlannedExecution(index, 0, given, given, TolerancePolicy()) for index in range(2, 2 + count)]


class Runs:
    """Counts the runs that are in progress at the same time."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.peak = self.now = self.started = 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()

    def ask(self, planned: PlannedExecution) -> int:
        with self.lock:
            self.now += 1
            self.started += 1
            self.peak = max(self.peak, self.now)
        self.stopped.wait(self.seconds / planned.index)
        with self.lock:
            self.now -= 1
        return planned.index


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)


def make(runs: Runs, planned: list[PlannedExecution], *, peak_kib: int = 1000, limit: int | None = None) -> list[int]:
    ahead = RunsAhead(runs.ask, planned, peak_kib=peak_kib, limit=limit)
    try:
        return [ahead.result(run) for run in planned]
    finally:
        ahead.close()


def test_as_many_runs_as_cores_are_made_at_the_same_time() -> None:
    runs = Runs(1.0)
    assert make(runs, plan(9)) == list(range(2, 11))
    assert runs.peak == 4


def test_results_can_be_taken_in_any_order() -> None:
    runs, planned = Runs(), plan(3)
    ahead = RunsAhead(runs.ask, planned, peak_kib=1)
    assert [ahead.result(run) for run in reversed(planned)] == [4, 3, 2]
    ahead.close()
    assert runs.started == 3


@pytest.mark.parametrize("axis", sorted(concurrency.WHOLE_MACHINE))
def test_a_run_that_needs_the_whole_machine_is_alone_on_it(axis: str) -> None:
    runs = Runs()
    make(runs, [*plan(2), *plan(2, **{axis: 1})])
    assert runs.peak == 1


def test_runs_that_do_not_fit_into_memory_are_made_one_by_one() -> None:
    runs = Runs()
    make(runs, plan(4), peak_kib=2**40)
    assert runs.peak == 1


def test_the_caller_may_bound_the_runs() -> None:
    runs = Runs()
    make(runs, plan(6), limit=2)
    assert runs.peak == 2


def test_xdist_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    runs = Runs()
    make(runs, plan(6))
    assert runs.peak == 2


def test_without_planned_runs_none_is_made() -> None:
    runs = Runs()
    assert make(runs, []) == []
    assert runs.started == 0


def test_closing_waits_for_the_runs_in_progress_and_starts_no_more() -> None:
    runs = Runs(600.0)
    started = time.monotonic()
    ahead = RunsAhead(runs.ask, plan(20), peak_kib=1)
    while not runs.now:
        time.sleep(0.001)
    closing = threading.Timer(0.05, runs.stopped.set)
    closing.start()
    ahead.close()
    assert time.monotonic() - started < 30
    assert 0 < runs.started < 20
    assert runs.now == 0
