"""The layout of a message: width, length, what is left out, and the way to the process that has the terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare_artifacts
from pytest_repro.model import Cause, Condition, Diagnosis, FirstDivergence, Location, RunResult, TestResult, Verdict
from pytest_repro.reporting.failure import describe_failure, describe_own_failure, describe_run
from pytest_repro.reporting.parts import MAX_LINES, Message, Part, plain

GENERATOR = Cause(
    "state.rng_object",
    None,
    "with test_train.noise restored before each run, 3 of 3 second runs matched a first run; without, 6 of 6 "
    "differed: a generator that outlives a run, and continues where the run before ended",
    "make the generator in the run, from repro.seed, in each well-known, long-lived, hyphenated-name, user-made case",
    "state",
    Location("test_train.py", 10, "train", "augmented = X + noise.normal(scale=0.1, size=X.shape)"),
)
THREADS = Cause("threads.reduction_order", "threads", "with 1 thread, 3 of 3 were identical: the threads", "fix them")
FIRST = FirstDivergence(
    "test_train.py", 10, "train", "augmented", "augmented = X + 1", "ndarray float64 (200, 5): -3.09", "ndarray: 1.5",
    "value", 0, "", "",
)  # fmt: skip


def failed(artifacts: int = 2, *, difference: float = 0.5, causes: tuple[Cause, ...] = (GENERATOR,)) -> Message:
    """Return the message of a test with so many artifacts, in which run 2 differs."""
    result = TestResult("t.py::test_it", Verdict.DIVERGED, 1234, repeat_command="pytest t.py::test_it --repro-seed=0")
    values = {f"encoder/layers/{i}/self_attention/out_projection/weight": np.ones(3) + i for i in range(artifacts)}
    baseline = capture_tree(values)
    varied = capture_tree({name: value + difference for name, value in values.items()})
    result.runs += [RunResult(1), RunResult(2, Condition((("threads", 3),)))]
    result.comparisons.append((result.runs[1], compare_artifacts(varied, baseline)))
    result.causes = list(causes)
    result.diagnosis = Diagnosis(first_divergence=FIRST)
    result.notes = ["torch default dtype was left at float64 and restored to float32", "another note"]
    return describe_failure(result)


def lines(message: Message, width: int = 80, *, is_verbose: bool = False) -> list[str]:
    return [plain(line) for line in message.lay_out(width, is_verbose=is_verbose)]


@pytest.mark.parametrize("width", [60, 66, 72, 80, 90, 100])
@pytest.mark.parametrize("artifacts", [1, 2, 40])
def test_a_failure_takes_twelve_lines_that_fit_and_no_word_is_broken(width: int, artifacts: int) -> None:
    shown = lines(failed(artifacts), width)
    assert len(shown) <= MAX_LINES == 12
    assert max(map(len, shown)) <= width
    known = set(" ".join(part.text for part in failed(artifacts).parts).split())
    sentences = [line for line in shown if line[2:10].strip() in ("where", "cause", "fix", "")]
    words = " ".join(line[10:] for line in sentences).replace("...", "").split()
    assert [word for word in words if word.strip("()") not in known | {w.strip("()") for w in known}] == []


def test_place_cause_and_fix_come_before_the_table_and_the_command_last() -> None:
    shown = lines(failed())
    starts = [line[2:10].strip() for line in shown if line.startswith("  ") and line[2] != " "]
    order = [starts.index(label) for label in ("where", "cause", "fix")]
    table = next(n for n, line in enumerate(starts) if "of 2 art" in line or line.startswith("2 of 2"))
    assert order == sorted(order)
    assert max(order) < table < starts.index("next")


def test_what_is_left_out_is_counted_and_shown_by_verbosity() -> None:
    message = failed(40)
    short, whole = lines(message), lines(message, is_verbose=True)
    left = next(line for line in short if line.startswith("  more"))
    rows = sum("encoder" in line for line in short)
    assert left.startswith(f"  more    -v shows {40 - rows} more artifacts, the values")
    assert "  ... and 30 more" in whole
    assert any(line.startswith("    actual    ") for line in whole)
    assert "  note    another note" in whole
    assert not any(line.startswith("  more") for line in whole)


def test_nothing_is_said_to_be_left_out_where_nothing_is() -> None:
    result = TestResult("t.py::test_it", Verdict.ERROR, 1, repeat_command="pytest t.py::test_it")
    result.runs.append(RunResult(1))
    message = describe_run(result, RunResult(1, outcome="failed"), planned=2)
    assert lines(message) == lines(message, is_verbose=True)


def test_the_meaning_of_a_cause_comes_before_the_runs_that_showed_it() -> None:
    shown = " ".join(" ".join(lines(failed())).split())
    assert "state.rng_object: a generator that outlives a run, and continues where the run before ended (with " in shown


@pytest.mark.parametrize(
    "difference, causes, is_shown",
    [(0.5, (), False), (1e-15, (), True), (1e-15, (GENERATOR,), False), (1e-15, (THREADS,), True)],
)
def test_a_bound_is_proposed_only_where_roundings_explain_the_difference(
    difference: float, causes: tuple[Cause, ...], is_shown: bool
) -> None:
    shown = lines(failed(1, difference=difference, causes=causes), is_verbose=True)
    assert any(line.startswith("    minimum   max_ulp=") for line in shown) == is_shown


def test_the_text_of_another_process_is_shown_whole_above_the_rest() -> None:
    message = describe_own_failure("\n".join(f"E   line {i}" for i in range(30)), failed())
    shown = lines(message)
    assert shown[:30] == [f"E   line {i}" for i in range(30)]
    assert len(shown) <= 30 + MAX_LINES


def test_the_parts_survive_json() -> None:
    message = failed(3)
    parts = json.loads(json.dumps(message.to_json()))
    assert Message(tuple(map(Part.from_json, parts))) == message


def test_parts_of_another_process_move_nothing_on_the_terminal() -> None:
    data = Part("finding", "cause", "x").to_json()
    data[2] = "a\x1b[2J\x07"
    assert "\x1b" not in str(Message((Part.from_json(data),)))
    with pytest.raises(ValueError, match="no kind of part"):
        Part.from_json(["script", *data[1:]])


def test_styles_mark_the_cause_and_the_fix() -> None:
    styles = {text.strip(): style for line in failed().lay_out(80, is_verbose=False) for text, style in line}
    assert styles["state.rng_object"] == ("red", "bold")
    assert next(style for text, style in styles.items() if text.startswith("test_train.py:10: make")) == ("green",)
    assert styles["test_train.py:10"] == ("cyan",)
