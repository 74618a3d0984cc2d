"""The budget of what follows a verdict: CPU time of this process and of others, and a bound on the clock."""

from __future__ import annotations

import time

import pytest

from pytest_repro.session import budget as module
from pytest_repro.session.budget import Budget, SessionBudget


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The CPU time and the clock that the budget reads."""
    now = {"cpu": 100.0, "clock": 5000.0}

    class Time:
        process_time = staticmethod(lambda: now["cpu"])
        monotonic = staticmethod(lambda: now["clock"])

    monkeypatch.setattr(module, "time", Time)
    return now


def test_waiting_costs_nothing_until_the_bound_on_the_clock_is_reached(clocks: dict[str, float]) -> None:
    budget = Budget(2.0)
    with budget.counting():
        clocks["clock"] += 19.0
        assert (budget.spent_s, budget.is_spent) == (0.0, False)
        clocks["clock"] += 2.0
        assert budget.is_spent
        assert budget.describe_limit() == "20 s on the clock, 0 s of them on a CPU"


def test_the_time_of_this_process_and_of_children_counts_and_the_clock_only_within_a_block(
    clocks: dict[str, float],
) -> None:
    budget = Budget(2.0)
    clocks["cpu"] += 50
    clocks["clock"] += 5000
    assert not budget.is_spent
    with budget.counting():
        clocks["cpu"] += 0.5
        budget.take(1.0)
        assert budget.spent_s == pytest.approx(1.5)
    clocks["cpu"] += 50
    assert budget.left_s == pytest.approx(0.5)
    with budget.counting():
        clocks["cpu"] += 0.6
        assert budget.is_spent
    assert budget.describe_limit() == "2 s of CPU time"


def test_tests_share_the_budget_of_the_session(clocks: dict[str, float]) -> None:
    session = SessionBudget(3.0)
    one, other = Budget(2.0, session), Budget(2.0, session)
    with one.counting():
        one.take(1.0)
        clocks["cpu"] += 1.0
    assert one.is_spent
    with other.counting():
        assert other.left_s == pytest.approx(1.0)
        clocks["cpu"] += 1.0
        assert other.is_spent
        assert other.describe_limit() == "the session's 3 s of CPU time (--repro-budget)"
    assert session.spent_s == pytest.approx(3.0)


def test_a_share_that_is_kept_back_comes_after_the_block(clocks: dict[str, float]) -> None:
    budget = Budget(2.0)
    budget.take(1.2)
    with budget.reserving(0.5):
        assert budget.is_spent
    assert budget.left_s == pytest.approx(0.8)


def test_real_cpu_time_is_counted() -> None:
    budget = Budget()
    with budget.counting():
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
    assert 0.02 <= budget.spent_s < 5


def test_a_run_that_waits_in_this_process_uses_up_the_clock_and_no_cpu_time(clocks: dict[str, float]) -> None:
    budget = Budget(2.0)
    budget.take(0.5, 15.0)
    assert (budget.spent_s, budget.clock_left_s) == (0.5, 5.0)
    budget.take(0.0, 5.0)
    assert budget.is_spent


def test_one_test_gets_a_share_of_what_is_left_and_the_last_one_all_of_it() -> None:
    session = SessionBudget(80.0, tests=10)
    assert session.begin_test("a") == pytest.approx(10.0)
    session.spent_s = 40.0
    assert session.begin_test("b") == pytest.approx(5.0)
    alone = SessionBudget(80.0, tests=1)
    assert alone.begin_test("a") == pytest.approx(80.0)
    two = SessionBudget(80.0, tests=2)
    assert [two.begin_test("a"), two.begin_test("b")] == [40.0, 80.0]


def test_further_parameters_of_a_diagnosed_function_and_known_findings_get_less() -> None:
    session = SessionBudget(160.0, tests=100)
    first = session.begin_test("t.py::a")
    session.end_test("t.py::a", is_diagnosed=True)
    session.end_test("t.py::b", is_diagnosed=False)
    assert session.begin_test("t.py::a") == pytest.approx(first / 4)
    assert session.begin_test("t.py::b") == pytest.approx(first)
    assert session.begin_test("t.py::c", is_known=True) == pytest.approx(first / 4)


def test_a_share_is_never_too_small_for_a_diagnosis_nor_larger_than_what_is_left() -> None:
    session = SessionBudget(16.0, tests=100)
    assert session.begin_test("a") == pytest.approx(3.0)
    session.spent_s = 15.0
    assert session.begin_test("b") == pytest.approx(1.0)
    session.spent_s = 20.0
    assert session.begin_test("c") == 0.0


def test_a_budget_says_which_limit_stopped_it(clocks: dict[str, float]) -> None:
    shared = Budget(30.0, SessionBudget(80.0, tests=10), share_s=10.0)
    shared.take(10.0)
    assert (shared.is_spent, shared.stopped_by) == (True, "session")
    assert shared.describe_limit() == "10 s of CPU time, its share of the session's 80 s (--repro-budget)"
    own = Budget(5.0, SessionBudget(80.0, tests=10), share_s=10.0)
    own.take(5.0)
    assert (own.is_spent, own.stopped_by, own.describe_limit()) == (True, "test", "5 s of CPU time")
    waiting = Budget(1.0)
    with waiting.counting():
        clocks["clock"] += 11
        assert waiting.stopped_by == "clock"


def test_a_share_that_ends_on_the_clock_is_the_sessions_limit(clocks: dict[str, float]) -> None:
    shared = Budget(30.0, SessionBudget(2.0, tests=10), share_s=0.2)
    with shared.counting():
        clocks["clock"] += 3
        assert (shared.is_spent, shared.stopped_by) == (True, "session")
        share = "its share of the session's 2 s (--repro-budget)"
        assert shared.describe_limit() == f"2 s on the clock, 0 s of them on a CPU, {share}"


def test_a_large_limit_is_shown_in_full(clocks: dict[str, float]) -> None:
    large = Budget(2345.0, SessionBudget(9000.0))
    large.take(2345.0)
    assert large.describe_limit() == "2345 s of CPU time"


def test_a_spent_session_is_named_before_the_clock(clocks: dict[str, float]) -> None:
    late = Budget(1.0, SessionBudget(1.0))
    with late.counting():
        clocks["cpu"] += 1
        clocks["clock"] += 11
        assert (late.stopped_by, late.describe_limit()) == (
            "session", "the session's 1 s of CPU time (--repro-budget)",
        )  # fmt: skip
