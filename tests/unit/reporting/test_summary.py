"""The section of the terminal summary."""

from __future__ import annotations

from typing import Any

from pytest_repro.reporting.summary import summary_lines


def entry(verdict: str, name: str = "test_it", *, runs: int = 2, **changes: Any) -> dict[str, Any]:
    """Return a test as the report holds it."""
    run = {"condition": {}}
    return {"nodeid": f"t.py::{name}", "verdict": verdict, "runs": [run] * runs, "largest_tolerated": None} | changes


def test_counts_stand_in_the_order_in_which_a_reader_needs_them() -> None:
    tests = [entry("identical"), entry("error", "b"), entry("diverged", "c"), entry("identical", "d")]
    lines = summary_lines(tests, base_seed=7)
    assert lines[0] == "1 diverged, 1 error, 2 identical (4 tests, --repro-seed=7)"
    assert lines[1:3] == ["  error         t.py::b", "  diverged      t.py::c"]


def test_one_test_is_not_tests() -> None:
    assert summary_lines([entry("within_tolerance")], base_seed=0)[0] == "1 within tolerance (1 test, --repro-seed=0)"


def test_the_largest_tolerated_difference_is_told_with_its_place() -> None:
    def tolerated(ulp: int | str | None, absolute: float | str | None, artifact: str) -> dict[str, Any]:
        return {"largest_tolerated": {"max_ulp": ulp, "max_abs": absolute, "artifact": artifact}}

    tests = [
        entry("within_tolerance", "a", **tolerated(5, 1e-3, "x")),
        entry("within_tolerance", "b", **tolerated("18446744073709551615", "inf", "y")),
    ]
    line = "largest difference tolerated: 18,446,744,073,709,551,615 ulp in y of t.py::b"
    assert line in summary_lines(tests, base_seed=0)
    tests = [entry("within_tolerance", "a", **tolerated(None, 1.5e-3, "x"))]
    assert "largest difference tolerated: 0.0015 absolute in x of t.py::a" in summary_lines(tests, base_seed=0)


def test_the_claim_is_what_the_least_repeated_test_bears() -> None:
    def claim(*tests: dict[str, Any]) -> str:
        return next((line for line in summary_lines(tests, base_seed=0) if "agreeing" in line), "")

    # 1 - 0.05**(1/(N-1)): 95 % for 2 runs, 53 % for 5, 5 % for 60.
    assert claim(entry("identical", runs=2)).startswith(
        "2 agreeing runs bound the chance that a further run differs by 95 % "
    )
    assert "by 53 % " in claim(entry("identical", runs=5), entry("identical", runs=60))
    assert "by 5 % " in claim(entry("identical", runs=60))
    assert claim(entry("diverged", runs=60)) == ""


def test_a_run_with_another_seed_is_no_agreeing_run() -> None:
    runs = [{"condition": {}}, {"condition": {}}, {"condition": {"another seed": 3}}]
    lines = summary_lines([entry("identical") | {"runs": runs}], base_seed=0)
    assert lines[1].startswith("2 agreeing runs")


def test_a_run_under_another_condition_bounds_no_chance_but_a_fresh_process_does() -> None:
    once = entry("identical") | {"runs": [{"condition": {}}, {"condition": {"threads": 3}}]}
    assert len(summary_lines([once], base_seed=0)) == 1
    both = summary_lines([once, entry("identical", runs=5)], base_seed=0)[1]
    assert both.startswith("5 agreeing runs bound ")
    assert both.endswith("; 1 test ran once under each condition, which bounds no chance")
    fresh = entry("identical") | {"runs": [{"condition": {}}, {"condition": {"process": 2}}]}
    assert summary_lines([fresh], base_seed=0)[1].startswith("2 agreeing runs")
