"""Numbers of threads: set in new interpreters or here, read back, and their causes named."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError, assert_thread_invariant
from pytest_repro.axes import Machine, find_axis
from pytest_repro.errors import ChildError
from tests.unit.equivalences import loops


def test_a_result_independent_of_threads_passes_in_new_interpreters():
    shown = assert_thread_invariant(loops.sum_of_sines, threads=(1, 3), repeats=2)
    assert shown.verdict == "identical"
    assert shown.trials == ("3 threads", "3 threads, run 2")
    assert "in this process" not in str(shown)


def test_a_local_function_runs_here_and_the_report_says_so():
    shown = assert_thread_invariant(lambda: np.arange(3), threads=(1, 2), repeats=1)
    assert "every pool was set in this process" in str(shown)


def current_threads() -> int:
    # Polars, which another test may have loaded here, keeps the threads that it has started.
    observed = find_axis("threads").verify(None).observed
    return max((count for name, count in observed.items() if name != "polars"), default=0)


needs_pool = pytest.mark.skipif(not current_threads(), reason="no library with threads can be read here")


@needs_pool
def test_a_result_that_depends_on_the_number_of_threads_is_not_called_a_race():
    with pytest.raises(DivergenceError, match=r"cause +threads\.amplified"):
        assert_thread_invariant(lambda: float(current_threads()), threads=(1, 2))
    with pytest.raises(DivergenceError, match=r"cause +threads\.split"):
        assert_thread_invariant(lambda: 1 + 1e-15 * current_threads(), threads=(1, 2))


@needs_pool
def test_runs_that_differ_with_the_same_number_of_threads_are_a_race():
    calls = iter(range(1000))

    def racy() -> float:
        return 1.0 if current_threads() == 1 else 1 + 1e-15 * next(calls)

    with pytest.raises(DivergenceError, match=r"cause +threads\.race"):
        assert_thread_invariant(racy, threads=(1, 2))


def test_a_baseline_that_does_not_repeat_is_inconclusive():
    calls = iter(range(1000))
    with pytest.raises(InconclusiveError, match="1 thread differs from itself"):
        assert_thread_invariant(lambda: next(calls), threads=(1, 2))


def test_a_number_of_threads_that_no_library_took_is_inconclusive(monkeypatch):
    from pytest_repro.axes import Effect

    effect = Effect("threads", 2, {"numba": 1}, (("numba", "has 1 thread, not 2"),))
    monkeypatch.setattr(type(find_axis("threads")), "verify", lambda self, value: effect)
    with pytest.raises(InconclusiveError, match="no library used 1 thread: numba has 1 thread, not 2"):
        assert_thread_invariant(lambda: 1, threads=(1, 2))


def test_the_users_error_comes_from_the_new_interpreter():
    with pytest.raises(ChildError, match="ValueError: by itself"):
        assert_thread_invariant(loops.fail, threads=(1, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": (2,)}, "only one number"),
        ({"threads": (0, 1)}, ">= 1"),
        ({"repeats": 0}, "repeats"),
        ({"process": "fork"}, "do not survive a fork"),
    ],
)
def test_wrong_arguments_are_rejected(arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_thread_invariant(loops.sum_of_sines, **arguments)


def test_the_default_numbers_of_threads_go_beyond_the_cores():
    shown = assert_thread_invariant(lambda: np.arange(3), repeats=1, process="same")
    assert (shown.baseline, shown.trials[0]) == ("1 thread", "2 threads")
    most = int(shown.trials[-1].removesuffix(" threads"))
    assert most > max(2, Machine.here().cores)
    assert most % 2 == 1
