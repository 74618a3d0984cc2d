"""How many runs go on at once, and that they end together."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_repro.model import Condition, TolerancePolicy
from pytest_repro.session import concurrency
from pytest_repro.session.concurrency import side_by_side
from pytest_repro.session.planning import PlannedExecution


def plan(count: int, **condition: int) -> list[PlannedExecution]:
    given = Condition(tuple(condition.items()))
    return [PlannedExecution(index, 0, given, given, TolerancePolicy()) for index in range(2, 2 + count)]


class Runs:
    """Counts how many runs go on at once."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.most = self.now = self.started = 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()

    def ask(self, index: int, condition: Condition, seed: int) -> int:
        with self.lock:
            self.now += 1
            self.started += 1
            self.most = max(self.most, self.now)
        self.stopped.wait(self.seconds / index)
        with self.lock:
            self.now -= 1
        return index


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)


def make(runs: Runs, planned: list[PlannedExecution], *, peak_kib: int = 1000, most: int | None = None) -> list[int]:
    with side_by_side(runs.ask, planned, stop=runs.stopped.set, peak_kib=peak_kib, most=most) as answers:
        return [answer() for _, answer in answers]


def test_answers_come_in_the_order_planned_from_as_many_runs_as_there_are_cores() -> None:
    runs = Runs(1.0)
    assert make(runs, plan(9)) == list(range(2, 11))
    assert runs.most == 4


@pytest.mark.parametrize("axis", sorted(concurrency.WHOLE_MACHINE))
def test_a_run_that_needs_the_whole_machine_has_it_to_itself(axis: str) -> None:
    runs = Runs()
    make(runs, [*plan(2), *plan(2, **{axis: 1})])
    assert runs.most == 1


def test_runs_that_do_not_fit_into_memory_wait() -> None:
    runs = Runs()
    make(runs, plan(4), peak_kib=2**40)
    assert runs.most == 1


def test_the_caller_may_bound_the_runs() -> None:
    runs = Runs()
    make(runs, plan(6), most=2)
    assert runs.most == 2


def test_workers_of_xdist_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    runs = Runs()
    make(runs, plan(6))
    assert runs.most == 2


def test_no_run_is_asked_for_where_none_is_planned() -> None:
    assert make(Runs(), []) == []


def test_an_error_stops_what_runs_and_starts_nothing_more() -> None:
    runs = Runs(600.0)
    started = time.monotonic()

    def interrupt() -> None:
        with side_by_side(runs.ask, plan(20), stop=runs.stopped.set, peak_kib=1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupt()
    assert time.monotonic() - started < 30
    assert runs.stopped.is_set()
    assert runs.started < 20
    assert runs.now == 0
