"""The section of the terminal summary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedEquivalence, ReportedRun, ReportedTest, ToleratedDifference
from pytest_repro.reporting.summary import Claim, engine_lines, say_verdicts, summary_lines


def entry(verdict: str, name: str = "test_it", *, runs: int = 2, **changes: Any) -> ReportedTest:
    """Return a test's result."""
    repeats = tuple(ReportedRun(n + 1) for n in range(runs))
    return ReportedTest(f"t.py::{name}", Verdict(verdict), 0, runs=repeats, **changes)


def under(*conditions: dict[str, Any]) -> ReportedTest:
    """Return an identical test whose runs had these conditions."""
    runs = tuple(ReportedRun(n, condition) for n, condition in enumerate(conditions, 1))
    return replace(entry("identical"), runs=runs)


def test_counts_are_in_the_order_in_which_a_reader_needs_them() -> None:
    tests = [entry("identical"), entry("error", "b"), entry("diverged", "c"), entry("identical", "d")]
    lines = summary_lines(tests, base_seed=7)
    assert lines[0] == "1 diverged, 1 error, 2 identical (4 tests, --repro-seed=7)"
    assert lines[1:3] == ["  error         t.py::b", "  diverged      t.py::c"]
    assert say_verdicts([]) == "no reproducible tests"


def test_one_test_is_in_the_singular() -> None:
    assert summary_lines([entry("within_tolerance")], base_seed=0)[0] == "1 within tolerance (1 test, --repro-seed=0)"


def test_the_largest_tolerated_difference_is_shown_with_its_place() -> None:
    def tolerated(ulp: int | None, absolute: float | None, artifact: str) -> dict[str, Any]:
        return {"largest_tolerated": ToleratedDifference(artifact, "values", max_ulp=ulp, max_abs=absolute)}

    tests = [
        entry("within_tolerance", "a", **tolerated(5, 1e-3, "x")),
        entry("within_tolerance", "b", **tolerated(18446744073709551615, float("inf"), "y")),
    ]
    line = "largest difference tolerated: 18,446,744,073,709,551,615 ulp in y of t.py::b"
    assert line in summary_lines(tests, base_seed=0)
    tests = [entry("within_tolerance", "a", **tolerated(None, 1.5e-3, "x"))]
    assert "largest difference tolerated: 0.0015 absolute in x of t.py::a" in summary_lines(tests, base_seed=0)


@pytest.mark.parametrize(("runs", "bound"), [(2, 0.95), (5, 0.53), (60, 0.05), (200, 0.015)])
def test_the_claim_is_bounded_by_the_least_repeated_test(runs: int, bound: float) -> None:
    # 1 - 0.05**(1/(N-1)): a fault that shows in more runs would have shown in one of these with 95 % confidence.
    claim = Claim.of([entry("identical", runs=runs), entry("identical", runs=1000), entry("diverged")])
    assert claim is not None
    assert claim.runs == runs
    assert claim.bound == pytest.approx(bound, rel=0.02)


def test_the_claim_says_how_many_runs_would_be_enough_until_they_are() -> None:
    def claim(*tests: ReportedTest) -> str:
        found = Claim.of(tests)
        return "" if found is None else found.describe()

    missed = "a fault that shows in up to {} % of runs could still be missed (95 % confidence)."
    enough = " 60 runs bring that to 5 %."
    assert claim(entry("identical")) == f"2 identical runs are weak evidence: {missed.format(95)}{enough}"
    assert claim(entry("within_tolerance", runs=5)) == f"5 matching runs are weak evidence: {missed.format(53)}{enough}"
    assert claim(entry("identical", runs=60)) == f"60 identical runs: {missed.format(5)}"
    assert claim(entry("diverged", runs=60)) == ""
    assert summary_lines([entry("identical", runs=60)], base_seed=0)[-1] == claim(entry("identical", runs=60))


def test_a_run_with_another_seed_or_condition_is_not_a_repeat_but_a_fresh_process_is() -> None:
    seeded = Claim.of([under({}, {}, {"another seed": 3})])
    assert seeded is not None
    assert seeded.runs == 2
    assert Claim.of([under({}, {"threads": 3})]) is None
    fresh = Claim.of([under({}, {"process": 2})])
    assert fresh is not None
    assert fresh.runs == 2


def test_a_test_that_ran_once_in_each_condition_is_mentioned_and_not_counted() -> None:
    claim = Claim.of([under({}, {"threads": 3}), entry("identical", runs=5)])
    assert claim is not None
    assert (claim.runs, claim.once) == (5, 1)
    assert claim.describe().endswith(" 1 test ran once in each condition and cannot be counted.")


def test_the_trials_of_an_assertion_are_no_repeats() -> None:
    equivalence = ReportedEquivalence(1, "batch", "assert_batch_invariant", "identical")
    assert Claim.of([entry("identical", runs=1, equivalences=(equivalence,))]) is None
    claim = Claim.of([entry("identical", runs=1, equivalences=(equivalence,)), entry("identical")])
    assert claim is not None
    assert claim.once == 0


def test_forks_of_started_interpreters_are_counted_and_told_from_fresh_ones() -> None:
    def of(*runs: tuple[str, str]) -> ReportedTest:
        made = tuple(ReportedRun(n, engine=engine, interpreter=name) for n, (engine, name) in enumerate(runs, 1))
        return replace(entry("identical"), runs=made)

    seeds = [("fork", "PYTHONHASHSEED=0"), ("fork", "PYTHONHASHSEED=1")]
    assert engine_lines([of(("fork", ""), ("spawn", ""))]) == []
    assert engine_lines([of(*seeds), of(*seeds)]) == [
        "4 runs were made by forks of interpreters started for 2 conditions"
    ]
    (line,) = engine_lines([of(seeds[0], ("spawn", ""))])
    assert line == "1 run was made by a fork of interpreters started for 1 condition; 1 had a fresh interpreter each"
    later = replace(of(*seeds), runs=tuple(replace(run, tests_before=3) for run in of(*seeds).runs))
    (line,) = engine_lines([of(*seeds), later])
    assert line.endswith("for 2 conditions; 2 came after other tests in one process")
