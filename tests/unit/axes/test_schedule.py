"""Order of threads and tasks under a shaken schedule."""

# ruff: noqa: PT012 - the statements before the error are part of the test
from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import random
import sys
import threading
from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, find_axis
from pytest_repro.engines.condition import apply_condition, judge_effects, verify_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition


def shaken(seed: int, folder: Path) -> object:
    return apply_condition(Condition((("schedule", seed),)), AxisContext(folder))


def finishing_order(tasks: int = 8) -> list[int]:
    with concurrent.futures.ThreadPoolExecutor(tasks) as pool:
        futures = [pool.submit(lambda k=k: k) for k in range(tasks)]  # type: ignore[misc]
        return [future.result() for future in concurrent.futures.as_completed(futures)]


def starting_order(threads: int = 8) -> list[int]:
    order: list[int] = []
    started = [threading.Thread(target=order.append, args=(k,)) for k in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return order


def test_threads_begin_in_different_orders(tmp_path: Path) -> None:
    with shaken(1, tmp_path):  # type: ignore[attr-defined]
        orders = {tuple(starting_order()) for _ in range(10)}
    assert len(orders) > 3
    assert all(sorted(order) == list(range(8)) for order in orders)


def test_tasks_finish_in_different_orders(tmp_path: Path) -> None:
    with shaken(2, tmp_path):  # type: ignore[attr-defined]
        orders = {tuple(finishing_order()) for _ in range(10)}
    assert len(orders) > 3


def test_a_pool_of_threads_finishes_in_different_orders(tmp_path: Path) -> None:
    with shaken(1, tmp_path), multiprocessing.pool.ThreadPool(8) as pool:  # type: ignore[attr-defined]
        orders = {tuple(pool.imap_unordered(abs, range(8))) for _ in range(10)}
    assert len(orders) > 3


def test_ordered_results_stay_in_order(tmp_path: Path) -> None:
    with shaken(1, tmp_path):  # type: ignore[attr-defined]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(abs, range(20))) == list(range(20))
        with multiprocessing.pool.ThreadPool(4) as threads:
            assert threads.map(abs, range(20)) == list(threads.imap(abs, range(20))) == list(range(20))
            assert threads.apply_async(abs, (-3,)).get() == threads.apply_async(func=abs, args=(-3,)).get() == 3


def test_worker_processes_take_delayed_tasks_too(tmp_path: Path) -> None:
    with shaken(1, tmp_path):  # type: ignore[attr-defined]
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
            assert pool.submit(abs, -2).result(timeout=60) == 2


def test_errors_reach_the_caller_and_subclasses_run_their_own_code(tmp_path: Path) -> None:
    class Worker(threading.Thread):
        done = False

        def run(self) -> None:
            self.done = True

    with shaken(1, tmp_path):  # type: ignore[attr-defined]
        with concurrent.futures.ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 // 0).result()
        worker = Worker()
        worker.start()
        worker.join()
    assert worker.done
    assert "run" not in vars(worker)


def test_the_users_generators_are_not_changed(tmp_path: Path) -> None:
    random.seed(5)
    expected = [random.random() for _ in range(3)]
    random.seed(5)
    with shaken(1, tmp_path):  # type: ignore[attr-defined]
        starting_order()
        assert [random.random() for _ in range(3)] == expected


def test_everything_is_restored_after_an_error(tmp_path: Path) -> None:
    before = (
        sys.getswitchinterval(),
        threading.Thread._bootstrap_inner,  # type: ignore[attr-defined]
        concurrent.futures.ThreadPoolExecutor.submit,
        multiprocessing.pool.Pool.imap,
    )
    with pytest.raises(ZeroDivisionError), shaken(1, tmp_path):  # type: ignore[attr-defined]
        assert sys.getswitchinterval() < 1e-4
        raise ZeroDivisionError
    assert before == (
        sys.getswitchinterval(),
        threading.Thread._bootstrap_inner,  # type: ignore[attr-defined]
        concurrent.futures.ThreadPoolExecutor.submit,
        multiprocessing.pool.Pool.imap,
    )


def test_a_shaken_schedule_counts_as_varied_and_a_reset_interval_is_reported(tmp_path: Path) -> None:
    usual = verify_condition(Condition(), ["schedule"])
    condition = Condition((("schedule", 1),))
    with shaken(1, tmp_path):  # type: ignore[attr-defined]
        effects = verify_condition(condition, ["schedule"])
        assert not effects[0].problems
        sys.setswitchinterval(0.005)
        assert verify_condition(condition, ["schedule"])[0].problems
    (variation,) = judge_effects(usual, effects, condition)
    assert variation.status == "varied"


@pytest.mark.parametrize("bad", [-1, True, "1", 1.5, None])
def test_a_value_that_is_not_a_seed_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="schedule"):
        find_axis("schedule").validate(bad)  # type: ignore[arg-type]
