"""The engine of runs in child processes, over children that answer as a test case chose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_repro.axes import Effect
from pytest_repro.capturing import capture_tree
from pytest_repro.engines import child_engine
from pytest_repro.engines.base import FreshInterpretersNeededError, OwnForksNeededError, PlannedExecution, RunOutcome
from pytest_repro.engines.child_engine import SHORT_S, ChildEngine
from pytest_repro.engines.job import ChildAnswer
from pytest_repro.errors import ChildError
from pytest_repro.model import Condition, TolerancePolicy, Verdict


def plan(*indices: int) -> list[PlannedExecution]:
    return [PlannedExecution(index, 5, Condition(), Condition((("n", index),)), TolerancePolicy()) for index in indices]


class Children:
    """Answers each run, and records in which order the engine used it."""

    engine = "fork"

    def __init__(
        self,
        *,
        shares_interpreters: bool = False,
        has_series: bool = False,
        marks: tuple[str, ...] = (),
        **answers: Any,
    ) -> None:
        self.shares_interpreters = shares_interpreters
        config = type("Config", (), {"getoption": lambda self, name, default: default})()
        members = {"config": config, "iter_markers": lambda self, name: iter(())}
        self.item: Any = type(
            "Item", (), {**members, "get_closest_marker": lambda self, name: name if name in marks else None}
        )()
        self.has_series = has_series
        self.echo: Any = None
        self.answers = answers
        self.calls: list[str] = []

    def run(self, index: int, seed: int, condition: Condition, *, is_fresh: bool, in_series: bool, recurs: bool) -> Any:
        assert (seed, condition.as_dict()) == (5, {"n": index})
        how = f"{' fresh' * is_fresh}{' in series' * in_series}{' once' * (not recurs)}"
        self.calls.append(f"run {index}{how}")
        fields = self.answers.get(f"run_{index}", {})
        if isinstance(fields, Exception):
            raise fields
        return ChildAnswer(**{"nonce": "", "outcome": "passed", **fields}), capture_tree(index)

    def learn(self, answer: ChildAnswer, *, at_once: bool, sources_alone: bool = False) -> None:
        self.calls.append(f"learn{' at once' * at_once}{' sources' * sources_alone}")

    def end_series(self) -> None:
        self.calls.append("end series")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")


class Published:
    """Takes published warnings."""

    def __init__(self) -> None:
        self.warnings: list[Any] = []

    def publish(self, warnings: list[Any]) -> None:
        self.warnings += warnings


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record which runs' logs are shown, in place of showing them."""
    shown: list[int] = []
    monkeypatch.setattr(child_engine, "show_live_logs", lambda config, sections, index, total: shown.append(index))
    return shown


def make_engine(children: Children, runs: list[PlannedExecution], **options: Any) -> ChildEngine:
    given: Any = children
    warnings: Any = Published()
    options = {"shows_output": False, **options}
    return ChildEngine(given, runs, clear_line=lambda: None, warnings=warnings, **options)


def test_an_answer_becomes_an_outcome() -> None:
    effect = Effect("threads", 2, {"numpy": 2})
    finding = {"axis": "n", "name": "assert_x", "verdict": "diverged", "cell": "diverged", "message": "m", "first": ""}
    answer = {
        "effects": [effect.to_json()],
        "settings": {"a": 1},
        "inputs": {"data": {"d": 1}, "config": {}},
        "seconds": 2.0,
        "took_locals": True,
        "equivalences": [{**finding, "causes": [], "trials": [], "notes": []}],
    }
    (planned,) = runs = plan(1)
    taken: list[RunOutcome] = []
    outcome = make_engine(Children(run_1=answer), runs).run(planned, taken.append)
    assert taken == [outcome]
    assert (outcome.outcome, outcome.seconds, outcome.took_locals, outcome.has_results) == ("passed", 2.0, True, True)
    assert (outcome.effects, outcome.settings, outcome.inputs["data"]) == ((effect,), {"a": 1}, {"d": 1})
    assert [f.verdict for f in outcome.equivalences] == [Verdict.DIVERGED]
    assert [leaf.data for leaf in outcome.artifacts.leaves.values()] == [1]


def test_a_failed_run_is_returned_and_not_taken() -> None:
    failed = {"outcome": "failed", "reason": "why", "longrepr": "text", "wasxfail": True}
    (planned,) = runs = plan(1)
    outcome = make_engine(Children(run_1=failed), runs).run(planned, pytest.fail)
    assert (outcome.outcome, outcome.reason, outcome.longrepr, outcome.is_xfail) == ("failed", "why", "text", True)
    assert outcome.may_end_otherwise


def test_after_a_first_run_that_skipped_no_run_is_started_ahead() -> None:
    children, runs = Children(run_1={"outcome": "skipped"}), plan(1, 2, 3)
    engine = make_engine(children, runs)
    engine.run(runs[0], pytest.fail)
    engine.run(runs[1], lambda outcome: None)
    engine.close()
    assert children.calls == ["run 1", "run 2", "stop", "close"]


def test_the_first_run_is_made_alone_and_the_others_ahead() -> None:
    children, runs = Children(), plan(1, 2, 3)
    engine = make_engine(children, runs)
    engine.run(runs[0], lambda outcome: None)
    assert children.calls == ["run 1"]
    engine.run(runs[1], lambda outcome: None)
    engine.run(runs[2], lambda outcome: None)
    engine.close()
    assert sorted(children.calls[:3]) == ["run 1", "run 2", "run 3"]
    assert children.calls[3:] == ["stop", "close"]


LEARNT = {"imported": ["other.module"], "sources": ["/a.py"]}


def test_a_first_run_that_imported_modules_is_made_again_once_the_server_has_them() -> None:
    children, runs = Children(run_1=LEARNT), plan(1, 2)
    make_engine(children, runs).run(runs[0], lambda outcome: None)
    assert children.calls == ["run 1", "learn at once", "run 1", "learn at once sources"]


@pytest.mark.parametrize(
    "answer, count, calls",
    [
        ({}, 2, ["run 1"]),
        ({**LEARNT, "seconds": SHORT_S}, 2, ["run 1", "learn"]),
        ({**LEARNT, "imported": ["pytest_repro.x"]}, 2, ["run 1", "learn at once"]),
        ({**LEARNT, "outcome": "failed"}, 2, ["run 1", "learn at once"]),
        (LEARNT, 1, ["run 1", "learn at once"]),
    ],
)
def test_a_first_run_is_not_made_again_where_that_changes_nothing(
    answer: dict[str, Any], count: int, calls: list[str]
) -> None:
    children, runs = Children(run_1=answer), plan(1, 2)[:count]
    make_engine(children, runs).run(runs[0], lambda outcome: None)
    assert children.calls == calls


def test_a_probe_is_made_at_any_time_and_shows_nothing(logs: list[int]) -> None:
    warned = {"warnings": [{"text": "w"}], "sections": [["Captured stdout call", "x"]]}
    children, runs = Children(run_1=warned, run_7=warned), plan(1, 2)
    engine = make_engine(children, runs)
    engine.run(runs[0], lambda outcome: None)
    assert (logs, engine.sections, engine._warnings.warnings) == ([1], warned["sections"], warned["warnings"])  # type: ignore[attr-defined]
    engine.sections = []
    outcome = engine.run(plan(7)[0])
    assert [leaf.data for leaf in outcome.artifacts.leaves.values()] == [7]
    assert (logs, engine.sections, len(engine._warnings.warnings)) == ([1], [], 1)  # type: ignore[attr-defined]


def test_what_made_a_run_and_whether_it_recurs_is_passed_on() -> None:
    children = Children(run_1={"engine": "fork", "interpreter": "PYTHONHASHSEED=1"})
    runs = [replace(plan(1)[0], is_fresh=True)]
    engine = make_engine(children, runs)
    outcome = engine.run(runs[0], lambda outcome: None)
    assert (outcome.engine, outcome.interpreter) == ("fork", "PYTHONHASHSEED=1")
    engine.run(plan(7)[0])
    assert children.calls == ["run 1 fresh", "run 7 once"]


FORK, FRESH = {"engine": "fork"}, {"engine": "spawn"}


@pytest.mark.parametrize(
    "answers, words",
    [
        ({"run_1": {**FORK, "outcome": "failed"}}, "run 1 ended as failed in a fork"),
        ({"run_1": {**FORK, "outcome": "error"}}, "run 1 ended as error"),
        ({"run_1": FORK, "run_2": {**FORK, "outcome": "failed"}}, "run 2 ended as failed"),
        ({"run_1": FORK, "run_2": {**FORK, "outcome": "skipped"}}, "run 2 ended as skipped"),
        ({"run_1": FORK, "run_2": {**FRESH, "outcome": "skipped"}}, "run 2 ended as skipped"),
        ({"run_1": FORK, "run_2": ChildError("run 2 was killed")}, "run 2 was killed"),
    ],
)
def test_an_ending_that_a_fork_may_be_to_blame_for_is_left_to_fresh_interpreters(
    answers: dict[str, Any], words: str
) -> None:
    children, runs = Children(shares_interpreters=True, **answers), plan(1, 2)
    engine = make_engine(children, runs)
    if "run_2" in answers:
        engine.run(runs[0], lambda outcome: None)
    with pytest.raises(FreshInterpretersNeededError, match=words):
        engine.run(runs["run_2" in answers], lambda outcome: None)
    engine.close()


@pytest.mark.parametrize(
    "shares, outcome, engine_name",
    [(False, "failed", "fork"), (True, "skipped", "fork"), (True, "failed", "spawn")],
)
def test_any_other_ending_of_a_first_run_stands(shares: bool, outcome: Any, engine_name: Any) -> None:
    children, runs = Children(shares_interpreters=shares, run_1={"outcome": outcome, "engine": engine_name}), plan(1)
    assert make_engine(children, runs).run(runs[0], pytest.fail).outcome == outcome


def test_the_subtests_of_a_first_run_are_published_once(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[bool] = []
    monkeypatch.setattr(child_engine, "publish_subtests", lambda item, subtests, is_first: published.append(is_first))
    given: Any = Children()
    for has_published in (False, True):
        warnings: Any = Published()
        engine = ChildEngine(
            given,
            plan(1),
            shows_output=True,
            clear_line=lambda: None,
            warnings=warnings,
            has_published=has_published,
        )
        engine.run(engine._first, lambda outcome: None)
        assert engine.has_published
    assert published == [True, False]


def test_output_that_is_shown_as_it_comes_is_not_shown_again(logs: list[int]) -> None:
    children, runs = Children(), plan(1)
    engine = make_engine(children, runs, shows_output=True)
    assert children.echo is not None
    engine.run(runs[0], lambda outcome: None)
    assert logs == []


def run_all(engine: ChildEngine, runs: list[PlannedExecution]) -> list[str]:
    outcomes = [engine.run(planned, lambda outcome: None).outcome for planned in runs]
    engine.close()
    return [str(outcome) for outcome in outcomes]


def test_a_new_series_is_a_fork_like_any_other() -> None:
    children, runs = Children(shares_interpreters=True), plan(1, 2)
    engine = make_engine(children, runs, in_series=True)
    assert run_all(engine, runs) == ["passed", "passed"]
    assert not engine.is_provisional
    assert children.calls[:2] == ["run 1 in series", "run 2 in series"]


def test_a_first_run_of_a_new_series_that_imported_modules_is_made_again_by_another_one() -> None:
    children, runs = Children(shares_interpreters=True, run_1={"imported": ["colorsys"]}), plan(1, 2)
    run_all(make_engine(children, runs, in_series=True), runs)
    assert children.calls[:4] == ["run 1 in series", "learn at once", "end series", "run 1 in series"]


def test_runs_that_go_on_with_a_series_count_only_if_they_agree() -> None:
    children, runs = Children(shares_interpreters=True, has_series=True, run_1={"imported": ["colorsys"]}), plan(1, 2)
    engine = make_engine(children, runs, in_series=True)
    assert engine.is_provisional
    assert run_all(engine, runs) == ["passed", "passed"]
    assert sorted(children.calls[:2]) == ["run 1 in series", "run 2 in series"]


def test_a_probe_is_not_made_by_a_series() -> None:
    children, runs = Children(shares_interpreters=True, has_series=True), plan(1, 2)
    make_engine(children, runs, in_series=True).run(runs[0])
    assert children.calls == ["run 1 once"]


@pytest.mark.parametrize(
    "answer", [{"outcome": "failed"}, {"outcome": "error"}, {"outcome": "skipped"}, ChildError("was killed")]
)
def test_another_ending_in_a_series_is_left_to_forks_of_their_own(answer: Any) -> None:
    children, runs = Children(shares_interpreters=True, has_series=True, run_2=answer), plan(1, 2)
    engine = make_engine(children, runs, in_series=True)
    with pytest.raises(OwnForksNeededError):
        run_all(engine, runs)
    engine.close()


def test_a_test_that_a_mark_may_end_is_not_started_in_every_process_of_a_series() -> None:
    children, runs = Children(shares_interpreters=True, has_series=True, marks=("skipif",)), plan(1, 2, 3)
    engine = make_engine(children, runs, in_series=True)
    engine.run(runs[0], lambda outcome: None)
    assert children.calls == ["run 1 in series", "learn"]
    engine.close()
