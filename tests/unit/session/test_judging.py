"""The judge, which derives one verdict from the results of the runs."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.axes import parse_across_option
from pytest_repro.capturing import capture_tree
from pytest_repro.engines.base import PlannedExecution
from pytest_repro.errors import DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import (
    ANOTHER_SEED,
    REFERENCE,
    Condition,
    RunResult,
    TestResult,
    Tolerance,
    TolerancePolicy,
    Verdict,
)
from pytest_repro.session.across import Across
from pytest_repro.session.findings import AxisFindings
from pytest_repro.session.flow import plan_runs
from pytest_repro.session.judging import Judge
from pytest_repro.session.settings import TestSettings


def make_settings(**changes: Any) -> TestSettings:
    """Return the settings of a marked test."""
    across = changes.pop("across", None)
    parsed = Across(parse_across_option(across)) if isinstance(across, str) else Across.parse(across)
    values: dict[str, Any] = {
        "runs": 2,
        "runs_are_given": True,
        "policy": TolerancePolicy(),
        "seed": 5,
        "seed_control": False,
        "requests": parsed.requests,
        "assertions": parsed.assertions,
        "timeout_s": None,
        "isolate": False,
        "is_marked": True,
        "takes_all": False,
        "wants_digests": False,
        "repeat_command": "pytest test_it.py::test_it",
    }
    return TestSettings(**values | changes)


def judge_of(*given: Any, seeds: tuple[int, ...] = (), **changes: Any) -> Judge:
    """Return a judge that has taken runs with these results."""
    settings = make_settings(**changes)
    judge = Judge(settings, TestResult("test_it.py::test_it", Verdict.ERROR, settings.seed))
    for index, value in enumerate(given, start=1):
        run = RunResult(index)
        judge.result.runs.append(run)
        seed = seeds[index - 1] if seeds else settings.seed
        planned = PlannedExecution(index, seed, Condition(), Condition(), settings.policy)
        judge.take(run, capture_tree(value), planned)
    return judge


def test_equal_results_are_identical() -> None:
    judge = judge_of(1.5, 1.5)
    judge.raise_unless_reproducible()
    assert judge.result.verdict is Verdict.IDENTICAL
    assert not judge.has_raised


def test_a_divergence_outweighs_everything_else() -> None:
    judge = judge_of(1.0, 2.0, 1.0, seeds=(5, 5, 6))
    with pytest.raises(DivergenceError, match="Run 2 of 3 differs from run 1"):
        judge.raise_unless_reproducible()
    assert judge.result.verdict is Verdict.DIVERGED
    assert judge.has_raised


def test_within_tolerance_is_distinguished_from_identical() -> None:
    judge = judge_of(1.0, 1.0 + 2.0**-52, policy=TolerancePolicy.of(Tolerance(max_ulp=1)))
    judge.raise_unless_reproducible()
    assert judge.result.verdict is Verdict.WITHIN_TOLERANCE


@pytest.mark.parametrize(
    "given, reason",
    [
        ((1,), "fewer than two runs"),
        (([], []), r"is empty .*so nothing was compared"),
        (((), ()), r"is empty .*so nothing was compared"),
    ],
)
def test_without_a_comparison_the_test_is_inconclusive(given: tuple[Any, ...], reason: str) -> None:
    judge = judge_of(*given)
    with pytest.raises(InconclusiveError, match=reason):
        judge.raise_unless_reproducible()
    assert judge.result.verdict is Verdict.INCONCLUSIVE


def test_an_unmarked_test_can_be_compared_by_its_outcome() -> None:
    judge = judge_of([], [], is_marked=False, takes_all=True)
    judge.compares_outcome = True
    judge.raise_unless_reproducible()
    assert judge.result.verdict is Verdict.IDENTICAL
    assert "compared by its outcome only" in judge.result.notes[0]


def test_a_run_with_another_seed_does_not_count_as_a_repeat() -> None:
    ignored = judge_of(1, 1, 1, seeds=(5, 5, 6), seed_control=True)
    with pytest.raises(InconclusiveError, match="seed ignored"):
        ignored.raise_unless_reproducible()
    obeyed = judge_of(1, 1, 2, seeds=(5, 5, 6), seed_control=True)
    obeyed.raise_unless_reproducible()
    assert obeyed.result.verdict is Verdict.IDENTICAL
    alone = judge_of(1, 2, seeds=(5, 6), seed_control=True)
    with pytest.raises(InconclusiveError, match="fewer than two runs"):
        alone.raise_unless_reproducible()


def test_a_glob_that_matches_nothing_is_rejected_at_the_first_run() -> None:
    with pytest.raises(UsageError, match="no artifact matches 'wieghts'; the test's artifacts are weights"):
        judge_of({"weights": 1.0}, policy=TolerancePolicy.of({"wieghts": Tolerance(rtol=0.1)}))


def test_another_seed_varies_no_axis() -> None:
    settings = make_settings(across=["timezone"], seed_control=True)
    plan = plan_runs(settings, (), "test_it")
    result = TestResult("test_it", Verdict.ERROR, settings.seed)
    findings = AxisFindings(plan.conditions, result)
    judge = Judge(settings, result, findings)
    judge.take_effects(plan.runs[0], ())
    judge.take_effects(plan.runs[-1], ())
    assert plan.runs[-1].seed != settings.seed
    assert findings.has_varied_nothing


def settle(outcome: str, index: int, **attributes: Any) -> TestResult:
    """Return the result after a judge has settled a run with this outcome."""
    judge = judge_of(1, 1)
    for name, value in attributes.items():
        setattr(judge, name, value)
    run = RunResult(index, outcome=outcome, reason="why")  # type: ignore[arg-type]
    judge.settle(run)
    return judge.result


def test_the_verdict_of_a_test_that_a_run_ended() -> None:
    assert settle("skipped", 1).verdict is Verdict.INCONCLUSIVE
    assert settle("skipped", 2).verdict is Verdict.DIVERGED
    assert settle("failed", 1).verdict is Verdict.ERROR
    assert settle("failed", 2).verdict is Verdict.ERROR
    assert settle("failed", 2, compares_outcome=True).verdict is Verdict.DIVERGED
    assert settle("failed", 1, compares_outcome=True).verdict is Verdict.ERROR
    assert settle("error", 2).reason == "run 2 broke in its setup or teardown by itself: why"


@pytest.mark.parametrize(("entry", "is_diagnosed"), [(ANOTHER_SEED, False), (REFERENCE, False), ("threads", True)])
def test_only_a_run_of_the_same_seed_and_precision_is_diagnosed_for_its_ending(entry: str, is_diagnosed: bool) -> None:
    judge = judge_of(1, 1)
    diagnosed = []
    judge.diagnose = lambda result, ended: diagnosed.append(ended)
    run = RunResult(3, Condition(((entry, 6),)), outcome="failed", reason="why")
    judge.settle(run)
    assert diagnosed == ([run] if is_diagnosed else [])


def test_a_failing_teardown_does_not_hide_a_divergence() -> None:
    judge = judge_of(1, 2)
    with pytest.raises(DivergenceError):
        judge.raise_unless_reproducible()
    judge.settle(RunResult(2, outcome="error", reason="teardown"))
    assert judge.result.verdict is Verdict.DIVERGED


def test_digests_are_equal_exactly_where_the_runs_are_identical() -> None:
    digests = [run.digest for run in judge_of(1.0, 1.0, 2.0, wants_digests=True).result.runs]
    assert digests[0] == digests[1] != digests[2]
    assert [run.digest for run in judge_of(1.0, 1.0).result.runs] == [None, None]
