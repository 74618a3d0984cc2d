"""The flow of one test from its plan to its verdict, with an engine that gives the results that a test case chose."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro.axes import Effect, EngineName
from pytest_repro.capturing import capture_tree
from pytest_repro.engines.base import (
    EngineUnusableError,
    FreshInterpretersNeededError,
    OwnForksNeededError,
    PlannedExecution,
    RunOutcome,
    Take,
)
from pytest_repro.errors import ChildError, DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import REFERENCE, TestResult, Tolerance, TolerancePolicy, Verdict
from pytest_repro.session.budget import Budget
from pytest_repro.session.findings import AxisFindings
from pytest_repro.session.flow import CONFIRMATIONS, FRESH_RUNS, TestFlow, plan_runs
from pytest_repro.session.judging import Judge
from tests.unit.session.test_judging import make_settings

#: Gives a run's results: a value to compare, an outcome, or an error to raise.
Run = Callable[[PlannedExecution], Any]


class FakeEngine:
    """Makes each run by a function, and keeps the runs of the plan apart from the probes."""

    name: EngineName = "fork"

    def __init__(
        self, run: Run, *, can_probe: bool = False, adds_control: bool = False, is_provisional: bool = False
    ) -> None:
        self.make = run
        self.can_probe = can_probe
        self.adds_control = adds_control
        self.is_provisional = is_provisional
        self.runs: list[PlannedExecution] = []
        self.probes: list[PlannedExecution] = []
        self.finished: list[bool] = []
        self.can_follow = True
        self.axes: list[str] = []

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        (self.probes if take is None else self.runs).append(planned)
        given = self.make(planned)
        if isinstance(given, Exception):
            raise given
        outcome = given if isinstance(given, RunOutcome) else passed(given)
        values = planned.complete.as_dict()
        outcome.effects = tuple(Effect(axis, values.get(axis), {"it": values.get(axis)}) for axis in self.axes)
        if take is not None and outcome.outcome == "passed":
            take(outcome)
        return outcome

    def finish(self, *, is_last: bool) -> bool:
        self.finished.append(is_last)
        return self.can_follow


def passed(value: Any, **fields: Any) -> RunOutcome:
    """Return the outcome of a run that returned a value."""
    artifacts = capture_tree(value)
    return RunOutcome(**{"artifacts": artifacts, "has_results": True, **fields})


def make_flow(run: Run, arguments: tuple[str, ...] = (), *, settings: Any = None, **engine: Any) -> TestFlow:
    """Return the flow of a test whose runs the function makes."""
    settings = make_settings(**(settings or {}))
    plan = plan_runs(settings, arguments, "test_it")
    result = TestResult("test_it.py::test_it", Verdict.ERROR, settings.seed)
    findings = AxisFindings(plan.conditions, result) if plan.axis_names else None
    fake = FakeEngine(run, **engine)
    fake.axes = plan.axis_names
    return TestFlow(plan, Judge(settings, result, findings), fake)


def engine_of(flow: TestFlow) -> FakeEngine:
    assert isinstance(flow.engine, FakeEngine)
    return flow.engine


def indices(flow: TestFlow) -> list[int]:
    """Return the numbers of the runs that were made for the plan."""
    return [planned.index for planned in engine_of(flow).runs]


def axes(*names: str, **values: Any) -> dict[str, Any]:
    """Return settings that vary axes, without repeats in the same condition."""
    return {"across": {**{name: [0, 1] for name in names}, **values}, "runs_are_given": False}


def value_of(planned: PlannedExecution, name: str) -> Any:
    return planned.complete.as_dict().get(name)


def test_identical_runs_pass_and_each_is_listed_with_its_facts() -> None:
    flow = make_flow(lambda planned: passed(1.5, seconds=2.0, inputs={"data": {"d": planned.index}}))
    assert flow.run() is None
    result = flow.result
    assert (result.verdict, result.engine, flow.failure) == (Verdict.IDENTICAL, "fork", None)
    assert [(run.index, run.outcome, run.duration_s) for run in result.runs] == [(1, "passed", 2.0), (2, "passed", 2.0)]
    assert [run.inputs["data"]["d"] for run in result.runs] == [1, 2]
    assert engine_of(flow).finished == [False, True]


def test_the_verdict_is_raised_inside_the_last_run() -> None:
    flow = make_flow(lambda planned: planned.index, settings={"runs": 3})
    with pytest.raises(DivergenceError, match="Run 2 of 3 differs from run 1") as caught:
        flow.run()
    assert flow.failure is caught.value
    assert getattr(caught.value, "raised_by_plugin", False)
    assert indices(flow) == [1, 2, 3]
    assert engine_of(flow).finished == [False, False]  # the last run was not over when it raised


def test_runs_without_results_are_inconclusive() -> None:
    flow = make_flow(lambda planned: [])
    with pytest.raises(InconclusiveError, match="nothing was compared"):
        flow.run()
    assert flow.result.verdict is Verdict.INCONCLUSIVE


def test_a_wrong_tolerance_fails_the_first_run() -> None:
    flow = make_flow(lambda planned: {"a": 1}, settings={"policy": TolerancePolicy.of({"b": Tolerance(rtol=1.0)})})
    with pytest.raises(UsageError, match="no artifact matches 'b'") as caught:
        flow.run()
    assert flow.failure is caught.value
    assert indices(flow) == [1]


@pytest.mark.parametrize(
    "outcome, index, verdict",
    [
        ("failed", 1, Verdict.ERROR),
        ("failed", 2, Verdict.ERROR),
        ("error", 2, Verdict.ERROR),
        ("skipped", 1, Verdict.INCONCLUSIVE),
        ("skipped", 2, Verdict.DIVERGED),
    ],
)
def test_a_run_that_does_not_pass_ends_the_test(outcome: Any, index: int, verdict: Verdict) -> None:
    ending = RunOutcome(outcome, "why", ends_by_mark=True)
    flow = make_flow(lambda planned: ending if planned.index == index else 1, settings={"runs": 3})
    assert flow.run() is ending
    assert flow.result.verdict is verdict
    assert indices(flow) == list(range(1, index + 1))
    assert (flow.result.runs[-1].outcome, flow.result.runs[-1].reason) == (outcome, "why")
    assert engine_of(flow).finished[-1]


@pytest.mark.parametrize("first", [RunOutcome("skipped", "why"), RunOutcome("failed", "why", is_xfail=True)])
def test_one_repeat_follows_a_run_that_chose_to_skip_or_xfail(first: RunOutcome) -> None:
    same = make_flow(lambda planned: first, settings={"runs": 5})
    assert same.run() is first
    assert indices(same) == [1, 2]
    assert same.result.verdict is Verdict.INCONCLUSIVE
    assert engine_of(same).finished == [False, True]
    other = make_flow(lambda planned: first if planned.index == 1 else 1, settings={"runs": 5})
    word = "xfailed" if first.is_xfail else "skipped"
    with pytest.raises(DivergenceError, match=f"run 1 {word}: why, run 2 passed"):
        other.run()
    assert other.result.verdict is Verdict.DIVERGED


def test_a_later_expected_failure_has_diverged() -> None:
    ending = RunOutcome("failed", "why", is_xfail=True, where="test_it.py:3")
    flow = make_flow(lambda planned: ending if planned.index == 2 else 1)
    assert flow.run() is ending
    assert flow.result.verdict is Verdict.DIVERGED
    assert flow.result.reason == "run 1 passed, run 2 xfailed at test_it.py:3: why"


def test_a_run_without_an_outcome_is_an_error_of_the_test() -> None:
    flow = make_flow(lambda planned: ChildError("it died") if planned.index == 2 else 1)
    with pytest.raises(ChildError, match="it died"):
        flow.run()
    assert flow.result.verdict is Verdict.ERROR
    assert (flow.result.runs[-1].outcome, flow.result.runs[-1].reason) == ("error", "it died")


def test_no_run_follows_one_whose_teardown_failed() -> None:
    flow = make_flow(lambda planned: 1, settings={"runs": 3})
    engine_of(flow).can_follow = False
    assert flow.run() is None
    assert indices(flow) == [1]
    run = flow.end_by_error("teardown broke")
    assert (run.outcome, flow.result.verdict) == ("error", Verdict.ERROR)
    assert "run 1 broke in its setup or teardown by itself: teardown broke" in flow.result.reason


def test_an_error_after_the_verdict_does_not_hide_a_divergence() -> None:
    flow = make_flow(lambda planned: planned.index)
    with pytest.raises(DivergenceError):
        flow.run()
    flow.end_by_error("teardown broke")
    assert flow.result.verdict is Verdict.DIVERGED


class TakenInside(FakeEngine):
    """Ends a run as pytest does: an error raised inside it becomes its outcome."""

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        try:
            return super().run(planned, take)
        except Exception as error:
            return RunOutcome("failed", str(error))


def test_a_test_that_fails_by_its_verdict_has_no_failed_run() -> None:
    flow = make_flow(lambda planned: planned.index)
    flow.engine = TakenInside(lambda planned: planned.index)
    assert flow.run() is None
    assert flow.result.verdict is Verdict.DIVERGED
    assert [run.outcome for run in flow.result.runs] == ["passed", "passed"]


def test_an_unmarked_test_without_results_is_run_once_and_not_judged() -> None:
    flow = make_flow(lambda planned: passed(None, has_results=False), settings={"is_marked": False})
    assert flow.run() is None
    assert not flow.is_judged
    assert indices(flow) == [1]


def test_an_unmarked_test_with_results_is_judged_as_a_marked_one() -> None:
    flow = make_flow(lambda planned: planned.index, settings={"is_marked": False})
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.is_judged


def test_an_unmarked_test_that_is_compared_by_its_locals_is_compared_by_its_outcome_too() -> None:
    settings = {"is_marked": False, "takes_all": True}
    flow = make_flow(lambda planned: passed([], took_locals=True), settings=settings)
    assert flow.run() is None
    assert flow.result.verdict is Verdict.IDENTICAL
    later = RunOutcome("failed", "later")
    flow = make_flow(lambda p: passed([], took_locals=True) if p.index == 1 else later, settings=settings)
    flow.run()
    assert flow.result.verdict is Verdict.DIVERGED


def test_a_difference_along_an_axis_is_confirmed_in_turn_with_plain_repeats() -> None:
    flow = make_flow(lambda p: value_of(p, "n"), ("n",), settings=axes("n"), adds_control=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert indices(flow) == list(range(1, 9))
    same: dict[str, Any] = {}
    varied = {"n": 1}
    made = [run.differs_in.as_dict() for run in engine_of(flow).runs]
    assert made == [same, varied, same, varied, varied, same, varied, same]
    assert flow.result.blamed == {2: ["n"]}


def test_an_axis_is_not_to_blame_where_its_repeat_agrees() -> None:
    values = iter([1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    flow = make_flow(lambda p: next(values), ("n",), settings=axes("n"), adds_control=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.blamed == {2: []}
    assert flow.result.matrix == {"n": "unstable"}
    assert "run 2 differs, and its repeat does not, so no axis is to blame" in flow.result.notes


def test_a_fair_bit_is_seldom_blamed_on_an_axis() -> None:
    draw = random.Random(0)
    blamed = 0
    for _ in range(1000):
        flow = make_flow(lambda p: draw.randrange(2), ("n",), settings=axes("n"), adds_control=True)
        with contextlib.suppress(DivergenceError):
            flow.run()
        blamed += flow.result.blamed.get(2) == ["n"]
    assert blamed < 12  # the bound is 0.4 %; without confirming it is a quarter


def test_a_spent_budget_confirms_nothing() -> None:
    settings = make_settings(**axes("n"))
    plan = plan_runs(settings, ("n",), "t")
    result = TestResult("t.py::test_it", Verdict.ERROR, 0)
    judge = Judge(settings, result, AxisFindings(plan.conditions, result), budget=Budget(5.0))
    engine = FakeEngine(lambda p: passed(value_of(p, "n"), seconds=3.0, cpu_s=3.0), adds_control=True)
    with pytest.raises(DivergenceError):
        TestFlow(plan, judge, engine).run()
    assert result.blamed == {2: []}
    assert any("no answer within 5 s of CPU time" in note for note in result.notes)


def test_an_axis_is_not_to_blame_where_the_plain_repeat_differs_too() -> None:
    flow = make_flow(lambda p: p.index, ("n",), settings=axes("n"), adds_control=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.blamed == {2: [], 3: []}
    assert "a plain repeat of run 1 differs as well, so no axis is to blame" in flow.result.notes


def test_no_plain_repeat_is_added_where_nothing_differs() -> None:
    flow = make_flow(lambda p: 1, ("n",), settings=axes("n"), adds_control=True)
    flow.run()
    assert indices(flow) == [1, 2]


def test_no_plain_repeat_is_added_where_one_is_planned() -> None:
    settings = {**axes("n"), "runs_are_given": True}
    flow = make_flow(lambda p: value_of(p, "n"), ("n",), settings=settings, adds_control=True)
    with pytest.raises(DivergenceError):
        flow.run()
    made = [run.differs_in.as_dict() for run in engine_of(flow).runs]
    assert made[:3] == [{}, {}, {"n": 1}]
    assert made.count({"n": 1}) == 1 + CONFIRMATIONS


def test_an_engine_that_adds_no_control_makes_only_the_planned_runs() -> None:
    flow = make_flow(lambda p: value_of(p, "n"), ("n",), settings=axes("n"))
    with pytest.raises(DivergenceError):
        flow.run()
    assert indices(flow) == [1, 2]


DEVICES = axes(device=["cpu", "cpu:1"])


def test_a_difference_between_devices_adds_a_repeat_on_the_other_device() -> None:
    flow = make_flow(lambda p: p.device, settings=DEVICES)
    with pytest.raises(DivergenceError):
        flow.run()
    assert [(planned.index, planned.device) for planned in engine_of(flow).runs] == [
        (1, "cpu"),
        (2, "cpu:1"),
        (3, "cpu:1"),
    ]
    assert [run.index for run in flow.result.runs] == [1, 2, 3]
    assert len(flow.result.comparisons) == 1  # the repeat is compared with run 2 and not with run 1
    assert flow.result.blamed == {2: ["device"]}


def test_a_device_that_differs_from_itself_is_not_to_blame() -> None:
    flow = make_flow(lambda p: float(p.index), settings=DEVICES)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.blamed == {2: []}
    assert [cause.code for cause in flow.result.causes] == ["device.nondeterminism"]


def test_the_control_comes_before_the_repeat_on_the_device() -> None:
    flow = make_flow(lambda p: p.device, settings=DEVICES, adds_control=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert [planned.device for planned in engine_of(flow).runs] == ["cpu", "cpu:1", "cpu", "cpu:1"]


def test_an_engine_that_can_probe_repeats_on_the_device_by_a_probe() -> None:
    counts = itertools.count(1.0)
    flow = make_flow(lambda p: 0.0 if p.device == "cpu" else next(counts), settings=DEVICES, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert [run.index for run in flow.result.runs] == [1, 2]
    assert engine_of(flow).probes[-1] is flow.plan.runs[1]
    assert flow.result.blamed == {2: []}
    assert [cause.code for cause in flow.result.causes] == ["device.nondeterminism"]


def test_a_repeat_on_the_device_that_fails_shows_nothing() -> None:
    flow = make_flow(lambda p: p.device, settings=DEVICES, can_probe=True)
    engine = engine_of(flow)
    engine.make = lambda p: RunOutcome("failed", "why") if p in engine.probes and p in flow.plan.runs else p.device
    with pytest.raises(DivergenceError):
        flow.run()
    assert engine.probes[-1] is flow.plan.runs[1]
    assert flow.result.blamed == {2: ["device"]}


TWO_AXES = axes(timezone=["UTC", "Asia/Tokyo"], cwd=[None, "<empty>"])


def test_the_axes_of_a_differing_run_are_isolated_by_probes() -> None:
    flow = make_flow(lambda p: value_of(p, "timezone"), settings=TWO_AXES, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.blamed == {2: ["timezone"]}
    assert flow.result.matrix == {"timezone": "diverged", "cwd": "identical"}
    assert [run.index for run in flow.result.runs] == [1, 2]
    probes = engine_of(flow).probes
    assert {(value_of(p, "timezone"), value_of(p, "cwd")) for p in probes} == {
        ("UTC", None),
        ("Asia/Tokyo", None),
        ("UTC", "<empty>"),
    }
    assert {(p.index, p.seed) for p in probes} == {(2, flow.judge.settings.seed)}


def test_an_engine_that_cannot_probe_isolates_nothing() -> None:
    flow = make_flow(lambda p: value_of(p, "timezone"), settings=TWO_AXES)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.matrix == {"timezone": "not_isolated", "cwd": "not_isolated"}


def test_identical_runs_are_not_isolated() -> None:
    flow = make_flow(lambda p: 1, settings=TWO_AXES, can_probe=True)
    flow.run()
    assert engine_of(flow).probes == []


def test_a_probe_that_fails_counts_as_a_difference() -> None:
    def run(planned: PlannedExecution) -> Any:
        if value_of(planned, "cwd") is None:
            return 1
        return RunOutcome("failed", "why", capture_tree(1)) if value_of(planned, "timezone") == "UTC" else 2

    flow = make_flow(run, settings=TWO_AXES, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.blamed == {2: ["cwd"]}


def test_a_probe_without_an_outcome_ends_the_isolation_and_not_the_test() -> None:
    flow = make_flow(lambda p: p.index, settings=TWO_AXES, can_probe=True)
    engine = engine_of(flow)
    engine.make = lambda p: ChildError("the probe died") if len(engine.runs) == 2 and engine.probes else p.index
    with pytest.raises(DivergenceError):
        flow.run()
    assert any("could not isolate the axis: the probe died" in note for note in flow.result.notes)


def test_an_engine_that_turns_out_to_be_unusable_ends_the_flow() -> None:
    flow = make_flow(lambda p: p.index, settings=TWO_AXES, can_probe=True)
    engine = engine_of(flow)
    engine.make = lambda p: EngineUnusableError("no forks") if engine.probes else p.index
    with pytest.raises(EngineUnusableError, match="no forks"):
        flow.run()


SEEDS = axes(hash_seed=[0, 1])
WITHIN = TolerancePolicy.of(Tolerance(rtol=0.5))


def shared(value: Callable[[int, bool], Any]) -> Run:
    """Return runs that are forks unless they must be fresh. Their value is of their hash seed and of what made them."""

    def run(planned: PlannedExecution) -> RunOutcome:
        engine: EngineName = "spawn" if planned.is_fresh else "fork"
        return passed(value(int(value_of(planned, "hash_seed")), planned.is_fresh), engine=engine)

    return run


def test_an_axis_is_blamed_once_fresh_interpreters_have_confirmed_what_forks_gave() -> None:
    flow = make_flow(shared(lambda seed, is_fresh: seed), settings=SEEDS, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.blamed == {2: ["hash_seed"]}
    assert [run.engine for run in flow.result.runs] == ["fork", "fork"]
    fresh = [value_of(planned, "hash_seed") for planned in engine_of(flow).probes if planned.is_fresh]
    assert sorted(fresh) == [0] * FRESH_RUNS + [1] * FRESH_RUNS


@pytest.mark.parametrize(
    ("results", "bound", "fresh"),
    [
        pytest.param("abcd", {}, "01", id="each value has a result of its own"),
        pytest.param("abca", {}, "0101", id="three results"),
        pytest.param("aabb", {}, "0202020", id="two results, the third value differs first"),
        pytest.param(
            "abcd",
            {"policy": TolerancePolicy.of(Tolerance(rtol=0.5))},
            "0101010",
            id="results within a bound",
        ),
    ],
)
def test_fewer_fresh_interpreters_confirm_an_axis_the_more_its_values_differ(
    results: str, bound: dict[str, Any], fresh: str
) -> None:
    numbers = {"a": 1.0, "b": 10.0, "c": 100.0, "d": 1000.0}
    settings = {**axes(hash_seed=[0, 1, 2, 3]), **bound}
    run = shared(lambda seed, is_fresh: numbers[results[seed]])
    flow = make_flow(run, settings=settings, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.matrix == {"hash_seed": "diverged"}
    asked = [str(value_of(planned, "hash_seed")) for planned in engine_of(flow).probes if planned.is_fresh]
    assert "".join(asked) == fresh


def test_a_fresh_interpreter_that_differs_otherwise_than_its_fork_asks_for_more() -> None:
    """The value that differs is not a result of the axis' value alone, so that it may differ by chance."""
    draws = itertools.count(10)
    run = shared(lambda seed, is_fresh: next(draws) if seed and is_fresh else seed)
    flow = make_flow(run, settings=axes(hash_seed=[0, 1, 2, 3]), can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert sum(planned.is_fresh for planned in engine_of(flow).probes) == 7


def test_a_difference_between_processes_that_ran_other_tests_is_none_by_itself() -> None:
    flow = make_flow(shared(lambda seed, is_fresh: seed), settings=SEEDS, can_probe=True, is_provisional=True)
    with pytest.raises(OwnForksNeededError, match="run 2 differed"):
        flow.run()
    assert engine_of(flow).probes == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda seed, is_fresh: (seed, is_fresh), id="the baseline differs"),
        pytest.param(lambda seed, is_fresh: 0 if is_fresh else seed, id="no difference along the axis"),
    ],
)
def test_a_fresh_interpreter_that_contradicts_a_fork_leaves_the_test_to_fresh_ones(value: Any) -> None:
    flow = make_flow(shared(value), settings=SEEDS, can_probe=True)
    with pytest.raises(FreshInterpretersNeededError, match="their results differ"):
        flow.run()


def test_a_repeat_that_differs_in_forks_is_not_made_by_fresh_interpreters() -> None:
    draws = itertools.count()
    flow = make_flow(shared(lambda seed, is_fresh: next(draws)), settings=SEEDS, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.matrix == {"hash_seed": "unstable"}
    assert [planned.is_fresh for planned in engine_of(flow).probes] == [False]


def test_a_fork_and_a_fresh_interpreter_that_differ_are_not_compared_any_further() -> None:
    settings = {"across": {"hash_seed": [0, 1]}, "runs": 2}
    flow = make_flow(shared(lambda seed, is_fresh: is_fresh), settings=settings, can_probe=True)
    with pytest.raises(FreshInterpretersNeededError):
        flow.run()
    assert (indices(flow), engine_of(flow).probes) == ([1, 2], [])


BOTH = axes(hash_seed=[0, 1], process=[0, 1])


def shared_with_processes(value: Callable[[int, bool], Any]) -> Run:
    """Return runs as :func:`shared` does, of which those in another process are fresh, too."""

    def run(planned: PlannedExecution) -> RunOutcome:
        is_fresh = planned.is_fresh or bool(value_of(planned, "process"))
        engine: EngineName = "spawn" if is_fresh else "fork"
        return passed(value(int(value_of(planned, "hash_seed")), is_fresh), engine=engine)

    return run


def test_a_fresh_interpreter_along_several_axes_is_compared_once_the_baseline_is_known_to_be_the_same() -> None:
    flow = make_flow(shared_with_processes(lambda seed, is_fresh: seed), settings=BOTH, can_probe=True)
    with pytest.raises(DivergenceError):
        flow.run()
    assert flow.result.matrix == {"hash_seed": "diverged", "process": "identical"}
    assert [run.engine for run in flow.result.runs] == ["fork", "spawn"]


def test_without_time_to_compare_the_baselines_the_test_is_left_to_fresh_interpreters() -> None:
    flow = make_flow(shared_with_processes(lambda seed, is_fresh: seed), settings=BOTH, can_probe=True)
    flow.judge.budget = Budget(0.0)
    with pytest.raises(FreshInterpretersNeededError):
        flow.run()
    assert engine_of(flow).probes == []


def test_without_time_to_isolate_two_forks_that_differ_are_a_difference_for_which_nothing_is_blamed() -> None:
    flow = make_flow(shared(lambda seed, is_fresh: seed), settings=SEEDS, can_probe=True)
    flow.judge.budget = Budget(0.0)
    with pytest.raises(DivergenceError):
        flow.run()
    assert (flow.result.blamed, flow.result.matrix) == ({2: []}, {"hash_seed": "not_isolated"})


def test_a_baseline_that_differs_between_a_fork_and_a_fresh_interpreter_is_left_to_fresh_ones() -> None:
    flow = make_flow(shared_with_processes(lambda seed, is_fresh: is_fresh), settings=BOTH, can_probe=True)
    with pytest.raises(FreshInterpretersNeededError):
        flow.run()
    assert [planned.is_fresh for planned in engine_of(flow).probes] == [False, True]


def test_an_engine_that_starts_an_interpreter_for_each_run_confirms_nothing_again() -> None:
    flow = make_flow(lambda p: value_of(p, "hash_seed"), settings=SEEDS, can_probe=True)
    engine_of(flow).name = "spawn"
    with pytest.raises(DivergenceError):
        flow.run()
    assert not any(planned.is_fresh for planned in engine_of(flow).probes)


def test_a_float64_reference_is_compared_with_nothing() -> None:
    from pytest_repro import Axis

    settings = {"across": {"device": Axis(["cpu", "cpu:1"], auto=True)}, "runs_are_given": False}
    flow = make_flow(lambda p: 1.0, settings=settings)
    flow.run()
    assert [planned.is_reference for planned in engine_of(flow).runs] == [False, True, False]
    assert REFERENCE in engine_of(flow).runs[1].complete.as_dict()
    assert [run.index for run, _ in flow.result.comparisons] == [3]


def test_another_seed_must_give_another_result() -> None:
    flow = make_flow(lambda p: 1.0, settings={"seed_control": True})
    with pytest.raises(InconclusiveError, match="seed ignored"):
        flow.run()
    flow = make_flow(lambda p: p.seed, settings={"seed_control": True})
    assert flow.run() is None
    assert flow.result.verdict is Verdict.IDENTICAL


def test_an_axis_that_took_no_effect_is_no_pass() -> None:
    class NoEffect(FakeEngine):
        def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
            def take_without(outcome: RunOutcome) -> None:
                outcome.effects = ()
                assert take is not None
                take(outcome)

            return super().run(planned, take_without)

    flow = make_flow(lambda p: 1.0, settings=TWO_AXES)
    flow.engine = NoEffect(lambda p: 1.0)
    with pytest.raises(InconclusiveError, match="none of the axes took effect"):
        flow.run()


def test_every_run_and_probe_is_shown_by_its_number() -> None:
    shown: list[tuple[Any, ...]] = []
    settings = make_settings(**TWO_AXES)
    plan = plan_runs(settings, (), "t")
    result = TestResult("t.py::test_it", Verdict.ERROR, 0)
    judge = Judge(settings, result, AxisFindings(plan.conditions, result))
    engine = FakeEngine(lambda p: value_of(p, "timezone"), can_probe=True)
    flow = TestFlow(plan, judge, engine, lambda *line: shown.append(line))
    with pytest.raises(DivergenceError):
        flow.run()
    assert shown[:2] == [("t.py::test_it", "run 1 of 2"), ("t.py::test_it", "run 2 of 2")]
    probes = [f"isolating timezone, cwd, {number} of about 9" for number in range(1, len(engine.probes) + 1)]
    assert [line[:2] for line in shown[2:]] == [("t.py::test_it", probe) for probe in probes]
    assert {describe_spent() for *_, describe_spent in shown[2:]} == {"0 of 30 s CPU"}


def test_isolating_the_axes_counts_towards_the_budget_and_ends_with_it() -> None:
    settings = make_settings(**TWO_AXES)
    plan = plan_runs(settings, (), "t")
    result = TestResult("t.py::test_it", Verdict.ERROR, 0)
    judge = Judge(settings, result, AxisFindings(plan.conditions, result), budget=Budget(8.0))
    engine = FakeEngine(lambda p: passed(value_of(p, "timezone"), cpu_s=2.0), can_probe=True)
    with pytest.raises(DivergenceError):
        TestFlow(plan, judge, engine).run()
    assert len(engine.probes) == 3
    assert any("no answer within 8 s of CPU time" in note for note in result.notes)
    assert result.blamed == {2: []}


def test_a_planned_repeat_that_differs_leaves_no_axis_to_isolate() -> None:
    runs = itertools.count()
    flow = make_flow(
        lambda p: next(runs),
        settings={"across": {"threads": [1, 2]}, "runs": 2, "runs_are_given": True},
        can_probe=True,
    )
    with pytest.raises(DivergenceError, match="no axis"):
        flow.run()
    assert engine_of(flow).probes == []
    assert flow.result.matrix == {"threads": "unstable"}
