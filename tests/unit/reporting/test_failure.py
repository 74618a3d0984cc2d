"""The text of a failure: computed nowhere but in the comparison."""

from __future__ import annotations

import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare_artifacts
from pytest_repro.model import ANOTHER_SEED, Condition, Diagnosis, FirstDivergence, RunResult, TestResult, Verdict
from pytest_repro.reporting.failure import describe_engine, describe_failure, describe_inconclusive, describe_run
from pytest_repro.reporting.parts import Message
from tests.plugin.helpers import unwrap


def diverged(*values: object, condition: Condition | None = None) -> TestResult:
    """Return the result of runs that gave these values."""
    result = TestResult("t.py::test_it", Verdict.DIVERGED, 1234, repeat_command="pytest t.py::test_it --repro-seed=0")
    baseline = capture_tree(values[0])
    for index, value in enumerate(values, start=1):
        run = RunResult(index, condition if condition and index > 1 else Condition())
        result.runs.append(run)
        if index > 1:
            result.comparisons.append((run, compare_artifacts(capture_tree(value), baseline)))
    return result


def text_of(message: Message) -> str:
    """Return a message's text with each finding in one line."""
    return unwrap(str(message))


def test_it_says_which_run_what_seed_and_how_to_repeat_it() -> None:
    text = text_of(describe_failure(diverged({"loss": 1.0}, {"loss": 1.0}, {"loss": 2.0})))
    lines = text.splitlines()
    assert lines[0] == "Run 3 of 3 differs from run 1 (seed 1234; same condition)"
    assert lines[-1] == "  next    pytest t.py::test_it --repro-seed=0"
    assert any(line.split()[:2] == ["loss", "float"] for line in lines)


def test_other_runs_that_differ_are_named() -> None:
    assert "also different from run 1: run 3" in text_of(describe_failure(diverged(1, 2, 3)))
    assert "also different from run 1: runs 3, 4" in text_of(describe_failure(diverged(1, 2, 3, 4)))
    many = text_of(describe_failure(diverged(*range(20))))
    assert "runs 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more" in many


def test_an_axis_is_named_if_it_was_shown_to_be_to_blame() -> None:
    condition = Condition((("threads", 3), ("hash_seed", 1)))
    result = diverged(1, 2, condition=condition)
    assert "  axis    no axis could be blamed" in text_of(describe_failure(result))
    result.blamed[2] = ["threads"]
    result.matrix.update(threads="diverged", hash_seed="identical")
    text = text_of(describe_failure(result))
    assert text.startswith("Run 2 of 2 differs from run 1 (seed 1234; threads=3)")
    assert "  axis    threads; hash_seed changes nothing when varied alone" in text
    result.matrix["cwd"] = "identical"
    assert "  axis    threads; hash_seed, cwd change nothing when varied alone" in text_of(describe_failure(result))


def test_it_has_the_notes() -> None:
    result = diverged(1, 2)
    result.notes.append("torch default dtype was left at float64 and restored to float32")
    assert "  note    torch default dtype was left at float64 and restored to float32" in text_of(
        describe_failure(result)
    )


def test_a_run_that_failed_by_itself_is_reported_with_the_outcome_of_run_1() -> None:
    result = diverged(1, 1)
    first = text_of(describe_run(result, RunResult(1, outcome="failed"), planned=2))
    assert first.startswith("run 1 of 2 failed by itself (seed 1234; same condition)")
    assert "run 1 passed" not in first
    later = text_of(describe_run(result, RunResult(2, outcome="error"), planned=2))
    assert later.startswith("run 2 of 2 broke in its setup or teardown by itself")
    assert "run 1 passed with the same seed and the same condition" in later
    along = text_of(describe_run(result, RunResult(2, Condition((("n", 2),)), outcome="failed"), planned=2))
    assert "run 1 passed with the same seed and another condition" in along
    control = text_of(describe_run(result, RunResult(3, Condition(((ANOTHER_SEED, 7),)), outcome="failed"), planned=2))
    assert "run 1 passed with seed 1234" in control


def test_inconclusive_gives_its_reason() -> None:
    result = TestResult("t.py::test_it", Verdict.INCONCLUSIVE, 1, reason="nothing was compared")
    assert text_of(describe_inconclusive(result)) == "Inconclusive: nothing was compared"


def test_an_operation_that_differs_is_reported_without_values() -> None:
    first = FirstDivergence(
        "train.py", 20, "train", "aten.mm.default", "loss.backward()", "", "", "operation", 0, "", "aten.mm.default"
    )
    result = diverged(1, 2)
    result.diagnosis = Diagnosis(first_divergence=first)
    text = " ".join(text_of(describe_failure(result)).split())
    operation = "`aten.mm.default` is the first operation whose output differs while its inputs match"
    assert f"where train.py:20 in train (step 0): {operation}" in text
    assert "in one run" not in text


def test_it_says_what_made_each_run_where_interpreters_were_started_for_conditions() -> None:
    result = diverged(1, 2)
    assert "engine" not in text_of(describe_failure(result))
    for run in result.runs:
        run.engine, run.interpreter = "fork", f"PYTHONHASHSEED={run.index}"
    result.runs[1].engine, result.runs[1].interpreter = "spawn", ""
    lines = text_of(describe_failure(result)).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("  engine"))
    assert lines[start : start + 2] == [
        "  engine  run 1: fork of an interpreter started under PYTHONHASHSEED=1",
        "          run 2: fresh interpreter",
    ]


@pytest.mark.parametrize(
    "engine, interpreter, words",
    [
        ("in_process", "", "pytest's own process"),
        ("fork", "", "fork"),
        ("fork", "LC_ALL=C", "fork of an interpreter started under LC_ALL=C"),
        ("spawn", "", "fresh interpreter"),
        ("another", "", "another"),
    ],
)
def test_what_made_a_run_in_words(engine: str, interpreter: str, words: str) -> None:
    assert describe_engine(engine, interpreter) == words
