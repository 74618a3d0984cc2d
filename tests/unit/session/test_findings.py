"""The cells of the matrix and the axes to blame, from runs and the axes that took effect in them."""

from __future__ import annotations

from pytest_repro.axes import ConditionPlan, Isolation, PlannedAxis
from pytest_repro.engines.condition import Variation
from pytest_repro.model import (
    JSON,
    ArtifactComparison,
    Comparison,
    Condition,
    RunResult,
    TestResult,
    Verdict,
)
from pytest_repro.session.findings import AxisFindings

SAME = Comparison((), artifacts=1, elements=1)
CLOSE = Comparison((ArtifactComparison("a", "values", within=True, differing=1),), artifacts=1)
OTHER = Comparison((ArtifactComparison("a", "values", within=False, differing=1, over=1),), artifacts=1)


class Case:
    """One test's runs, as the judge passes them on."""

    def __init__(self, *axes: str, unavailable: tuple[tuple[str, str], ...] = ()) -> None:
        self.result = TestResult("test_it.py::test_it", Verdict.ERROR, 0)
        planned = tuple(PlannedAxis(name, "built_in", (0, 1)) for name in axes)
        self.findings = AxisFindings(ConditionPlan(axes=planned, unavailable=unavailable), self.result)

    def run(self, comparison: Comparison, **status: str) -> RunResult:
        """Take a run that varied the named axes, each with this status."""
        index = len(self.result.comparisons) + 2
        values: tuple[tuple[str, JSON], ...] = tuple((name, 1) for name in status)
        run = RunResult(index, Condition(values))
        variations = tuple(Variation(name, how, ("one",), ("other",)) for name, how in status.items())  # type: ignore[arg-type]
        self.findings.take_variations(index, run.condition, variations)
        self.result.comparisons.append((run, comparison))
        return run

    def settle(self) -> dict[str, str]:
        """Return the matrix."""
        self.findings.settle()
        return self.result.matrix


def test_an_identical_run_clears_every_axis_that_it_varied() -> None:
    case = Case("threads", "clock", "cwd")
    case.run(SAME, threads="varied", clock="not_varied")
    case.run(CLOSE, cwd="partly")
    assert case.settle() == {"threads": "identical", "clock": "not_varied", "cwd": "within_tolerance"}
    assert case.result.notes == ["run 2: clock was not varied (unchanged: other)", "cwd varied one, not other"]


def test_an_axis_that_changed_nothing_is_not_varied() -> None:
    case = Case("clock")
    case.run(SAME, clock="not_varied")
    assert case.findings.has_varied_nothing
    assert case.settle() == {"clock": "not_varied"}


def test_an_axis_that_is_not_available_is_reported() -> None:
    case = Case(unavailable=(("isa", "no switch was found"),))
    assert case.settle() == {"isa": "not_available"}
    assert "isa is not available here: no switch was found" in case.result.notes[0]


def test_the_only_axis_of_a_diverging_run_is_to_blame() -> None:
    case = Case("clock")
    run = case.run(OTHER, clock="varied")
    assert case.settle() == {"clock": "diverged"}
    assert case.result.blamed == {run.index: ["clock"]}


def test_none_of_several_axes_is_blamed_before_they_are_isolated() -> None:
    case = Case("threads", "clock")
    run = case.run(OTHER, threads="varied", clock="varied")
    assert case.findings.needs_isolation(run.condition)
    assert case.settle() == {"threads": "not_isolated", "clock": "not_isolated"}
    assert case.result.blamed == {run.index: []}


def test_the_isolated_axis_is_blamed_and_the_other_cleared() -> None:
    case = Case("threads", "clock")
    run = case.run(OTHER, threads="varied", clock="varied")
    case.findings.take_isolation(run.index, Isolation("isolated", ("clock",), ("clock",), ("threads",), 2))
    assert case.settle() == {"threads": "identical", "clock": "diverged"}
    assert case.result.blamed == {run.index: ["clock"]}


def test_an_axis_that_was_isolated_once_is_not_isolated_again() -> None:
    case = Case("threads", "clock")
    first = case.run(OTHER, threads="varied", clock="varied")
    case.findings.take_isolation(first.index, Isolation("isolated", ("clock",), ("clock",), ("threads",), 2))
    second = case.run(OTHER, threads="varied", clock="varied")
    assert not case.findings.needs_isolation(second.condition)
    case.settle()
    assert case.result.blamed == {first.index: ["clock"], second.index: ["clock"]}


def test_no_axis_is_to_blame_where_a_plain_repeat_differs() -> None:
    case = Case("threads", "clock")
    run = case.run(OTHER, threads="varied", clock="varied")
    case.findings.take_isolation(run.index, Isolation("repeat", probes=1, reason="a plain repeat differs"))
    assert case.settle() == {"threads": "unstable", "clock": "unstable"}
    assert case.result.blamed == {run.index: []}


def test_the_process_is_to_blame_where_a_plain_repeat_in_a_fresh_one_differs() -> None:
    case = Case("process", "clock")
    run = case.run(OTHER, process="varied", clock="varied")
    case.findings.take_isolation(run.index, Isolation("repeat", probes=1, reason="a plain repeat differs"))
    assert case.settle() == {"process": "diverged", "clock": "unstable"}
    assert case.result.blamed == {run.index: ["process"]}


def test_the_axis_process_alone_needs_no_isolation() -> None:
    case = Case("process")
    run = case.run(OTHER, process="varied")
    assert not case.findings.needs_isolation(run.condition)
    assert case.settle() == {"process": "diverged"}


def test_the_worst_result_of_an_axis_is_in_its_cell() -> None:
    case = Case("clock")
    case.run(SAME, clock="varied")
    case.run(OTHER, clock="varied")
    case.run(CLOSE, clock="varied")
    assert case.settle() == {"clock": "diverged"}


def test_a_run_without_comparison_does_not_clear_its_axis() -> None:
    case = Case("clock")
    case.run(Comparison(), clock="varied")
    assert case.settle() == {"clock": "not_varied"}


def test_a_planned_repeat_that_differs_clears_every_axis() -> None:
    case = Case("threads")
    repeat = case.run(OTHER)
    case.findings.take_repeat(repeat.condition, OTHER)
    run = case.run(OTHER, threads="varied")
    assert not case.findings.needs_isolation(run.condition)
    assert case.settle() == {"threads": "unstable"}
    assert case.result.blamed == {2: [], 3: []}
    assert case.result.notes == ["a plain repeat of run 1 differs as well, so no axis is to blame"]


def test_a_run_along_an_axis_is_no_repeat() -> None:
    case = Case("threads")
    run = case.run(OTHER, threads="varied")
    case.findings.take_repeat(run.condition, OTHER)
    assert case.findings.needs_isolation(run.condition)
