"""The run in progress, and the handle that a test gets to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_repro.engines.current import CurrentRun, Repro, RunHolder
from pytest_repro.errors import CaptureError, UnsupportedTypeError


def names(run: CurrentRun) -> list[str]:
    """Return the captured values."""
    return run.artifacts.names


def test_captures_and_the_returned_value_are_kept_together() -> None:
    run = CurrentRun(1, 5)
    repro = Repro(run)
    repro.capture("loss", 0.5)
    repro.capture("layers", {"w": np.ones(2), "b": 1})
    repro.step(0, loss=0.5, accuracy=0.25)
    run.take_returned({"weights": np.zeros(3)})
    assert names(run) == ["loss", "layers/w", "layers/b", "step/0/loss", "step/0/accuracy", "weights"]


def test_a_returned_none_is_nothing_and_a_captured_none_is_a_value() -> None:
    run = CurrentRun(1, 5)
    run.take_returned(None)
    assert names(run) == []
    run.capture("nothing", None)
    assert names(run) == ["nothing"]


def test_a_captured_value_is_copied_immediately() -> None:
    run = CurrentRun(1, 5)
    array, values = np.zeros(2), [1]
    run.capture("array", array)
    run.capture("view", array[::-1])
    run.capture("values", values)
    array[:] = 7
    values.append(2)
    leaves = run.artifacts.leaves
    assert leaves["array"].data.tolist() == [0, 0]
    assert leaves["view"].data.tolist() == [0, 0]
    assert names(run)[2:] == ["values/0"]


@pytest.mark.parametrize("name", ["", None, 3, b"x"])
def test_a_name_must_be_text(name: Any) -> None:
    with pytest.raises(CaptureError, match="needs a non-empty str as name"):
        Repro(CurrentRun(1, 5)).capture(name, 1)


def test_a_name_may_be_used_once() -> None:
    run = CurrentRun(1, 5)
    run.capture("loss", 1)
    with pytest.raises(CaptureError, match="loss"):
        run.capture("loss", 1)
    with pytest.raises(CaptureError, match="loss"):
        run.take_returned({"loss": 1})
    assert len(run.artifacts) == 1


def test_a_step_has_a_number_and_values() -> None:
    repro = Repro(CurrentRun(1, 5))
    for wrong in (-1, 1.0, True, "0", None):
        with pytest.raises(CaptureError, match="needs a step number >= 0"):
            repro.step(wrong, loss=1)  # type: ignore[arg-type]
    with pytest.raises(CaptureError, match="was given nothing to compare"):
        repro.step(0)


def test_a_capture_after_the_end_is_rejected() -> None:
    run = CurrentRun(1, 5)
    run.close()
    with pytest.raises(CaptureError, match="came after the test's call had ended"):
        Repro(run).capture("late", 1)


def test_a_value_that_cannot_be_compared_is_rejected_by_path_and_type() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"'model/0'.*list_iterator"):
        Repro(CurrentRun(1, 5)).capture("model", [iter([])])


def test_the_generator_starts_again_with_each_run() -> None:
    repro = Repro(CurrentRun(1, 5))
    first = repro.rng.random(2).tolist()
    assert repro.rng.random(2).tolist() != first
    repro.begin(CurrentRun(2, 5))
    assert repro.rng.random(2).tolist() == first == np.random.default_rng(5).random(2).tolist()
    assert (repro.run, repro.seed, repro.device) == (2, 5, "cpu")


def test_locals_other_than_data_are_omitted() -> None:
    run = CurrentRun(1, 5)
    run.take_locals({"x": 1.5, "self": 1, "path": object(), "w": np.ones(2), "@py_assert1": 3})
    assert names(run) == ["x", "w"]


def test_a_handle_follows_the_runs_of_its_holder() -> None:
    holder = RunHolder(CurrentRun(1, 5))
    repro = holder.make_repro()
    draws = repro.rng.random()
    holder.begin(CurrentRun(2, 6))
    assert (holder.run.index, repro.run, repro.seed) == (2, 2, 6)
    assert repro.rng.random() != draws
    other = RunHolder(CurrentRun(3, 7)).make_repro()
    assert (repro.run, other.run) == (2, 3)
