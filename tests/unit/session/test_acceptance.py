"""What --repro-report lists: only what a plain session, which makes run 1 alone, would have let pass."""

from __future__ import annotations

import pytest

from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedRun, ReportedTest
from pytest_repro.session.acceptance import Accepting


@pytest.mark.parametrize(
    ("outcomes", "is_listed"),
    [
        (("passed", "failed"), True),
        (("skipped", "passed"), True),
        (("failed", "passed"), False),
        (("error", "passed"), False),
        (("passed",), False),
        ((), False),
    ],
)
@pytest.mark.parametrize("verdict", ["diverged", "error", "inconclusive"])
def test_only_a_test_whose_first_run_passed_or_skipped_is_listed(
    outcomes: tuple[str, ...], is_listed: bool, verdict: str
) -> None:
    runs = tuple(ReportedRun(n, outcome=outcome) for n, outcome in enumerate(outcomes, 1))
    found = Accepting(lists_only=True).judge(ReportedTest("t.py::a", Verdict(verdict), 0, runs=runs))
    is_skip = bool(runs) and runs[0].outcome == "skipped" and verdict != "diverged"
    assert (found is not None and found.is_accepted) == (is_listed and not is_skip)


def test_without_the_options_nothing_is_accepted() -> None:
    runs = ReportedRun(1, outcome="passed"), ReportedRun(2, outcome="passed")
    assert Accepting().judge(ReportedTest("t.py::a", Verdict.DIVERGED, 0, runs=runs)) is None
