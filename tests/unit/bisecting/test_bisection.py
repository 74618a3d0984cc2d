"""The course of a bisection, with observations in the place of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.bisecting import bisection
from pytest_repro.bisecting.bisection import Bisection, Request
from pytest_repro.bisecting.describing import describe_bisected, describe_plan, describe_step
from pytest_repro.bisecting.observing import Observation, Seat, UnstableError
from pytest_repro.bisecting.results import Step
from pytest_repro.capturing import capture_tree
from pytest_repro.environments.environment import EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.model import Tolerance, TolerancePolicy
from pytest_repro.records.allowance import describe_rules
from pytest_repro.records.files import read_record, write_record
from pytest_repro.records.policy import describe_policy

BROKEN, UNSTABLE, FAILS = "broken", "unstable", "fails"


class Series:
    """Members whose results are given: a number that the test returns, or what else becomes of it."""

    def __init__(self, folder: Path, values: list[Any], rtol: float = 0.0) -> None:
        self.values, self.folder, self.opened = values, folder, 0
        self.names = [f"1.{index}" for index in range(len(values))]
        self._policy = TolerancePolicy((("*", Tolerance(rtol=rtol)),) if rtol else ())

    @contextmanager
    def open(self, index: int) -> Iterator[Seat]:
        self.opened += 1
        yield Seat(str(index), EnvironmentFacts("CPython"), self.folder, origin="kept")

    def observe(self, seat: Seat, nodeid: str, folder: Path, **options: Any) -> Observation:
        value = self.values[int(seat.python)]
        if isinstance(value, list):
            value = value.pop(0) if len(value) > 1 else value[0]
        if value == BROKEN:
            raise EnvironmentUnusableError("the environment could not be made:\n    ERROR: no wheel\n")
        if value == UNSTABLE:
            raise UnstableError("its 2 runs differ from each other")
        if value == FAILS:
            return Observation("failed", reason="AssertionError")
        facts = {"policy": {"tier": "auto", "tolerance": describe_rules(self._policy),
                            "bounds": describe_policy(self._policy)}}  # fmt: skip
        return Observation("passed", read_record(write_record(folder, nodeid, 1, _artifacts(value), facts)))


def _artifacts(value: float) -> Any:
    return capture_tree({"w": np.full(3, value)})


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[Any], *, rtol: float = 0.0, exact: bool = False):
    series = Series(tmp_path, values, rtol)
    monkeypatch.setattr(bisection, "observe", series.observe)
    steps: list[Step] = []
    request = Request("test_it.py::test_fit", "tinylib", tmp_path, is_exact=exact)
    return Bisection(series, request, steps.append).run(), steps


def test_the_border_is_named_and_run_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, steps = run(tmp_path, monkeypatch, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    assert (found.status, found.last_same, found.first_different) == ("found", "1.3", "1.4")
    assert [(step.name, step.result) for step in steps[-2:]] == [("1.3", "same"), ("1.4", "differs")]
    assert all(step.is_repeat for step in steps[-2:])
    assert len(steps) <= 2 + 3 + 2
    assert found.differences[0].artifact == "w"
    text = describe_bisected(found)
    assert "tinylib 1.3 -> 1.4 changed the result of" in text
    assert "assumed to be like their neighbours" in text
    assert max(map(len, text.splitlines())) <= 80


def test_ends_with_one_result_leave_nothing_to_bisect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, steps = run(tmp_path, monkeypatch, [1.0, 2.0, 1.0])
    assert (found.status, len(steps)) == ("same", 2)
    assert "nothing to bisect" in describe_bisected(found)


def test_a_difference_within_the_test_s_tolerance_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    values = [1.0, 1.0 + 1e-12, 1.5]
    found, _ = run(tmp_path, monkeypatch, list(values), rtol=1e-9)
    assert (found.last_same, found.first_different) == ("1.1", "1.2")
    found, _ = run(tmp_path, monkeypatch, list(values[:2]), rtol=1e-9)
    assert found.status == "same"
    assert "--exact" in describe_bisected(found)
    found, _ = run(tmp_path, monkeypatch, list(values), rtol=1e-9, exact=True)
    assert (found.last_same, found.first_different) == ("1.0", "1.1")


def test_members_without_a_result_are_skipped_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, steps = run(tmp_path, monkeypatch, [1.0, 1.0, BROKEN, UNSTABLE, 2.0])
    assert (found.status, found.last_same, found.first_different) == ("range", "1.1", "1.4")
    assert found.skipped == ("1.2", "1.3")
    assert {step.name: step.text for step in steps if step.result == "skipped"} == {
        "1.2": "the environment could not be made: ERROR: no wheel",
        "1.3": "its 2 runs differ from each other",
    }
    assert "no result in 1.2, 1.3" in describe_bisected(found)


@pytest.mark.parametrize("end", [0, -1])
def test_an_end_without_a_result_stops_the_bisection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: int):
    values: list[Any] = [1.0, 1.0, 2.0]
    values[end] = UNSTABLE
    with pytest.raises(UnstableError, match=r"the test is unstable: in 1.., the .* end, its 2 runs differ"):
        run(tmp_path / "a", monkeypatch, list(values))
    values[end] = BROKEN
    with pytest.raises(
        EnvironmentUnusableError, match=r"no result to compare with: in 1.., the (good|bad) end, .*no wheel"
    ):
        run(tmp_path / "b", monkeypatch, values)


@pytest.mark.parametrize("values", [[1.0, [1.0, 2.0], 2.0], [1.0, 1.0, [2.0, 1.0]], [1.0, 1.0, [2.0, UNSTABLE]]])
def test_a_side_of_the_border_that_is_another_when_repeated_is_unstable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[Any]
):
    with pytest.raises(UnstableError, match="when repeated"):
        run(tmp_path, monkeypatch, values)


def test_a_result_that_changes_twice_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, _ = run(tmp_path, monkeypatch, [1.0, 1.0, 2.0, 3.0])
    assert (found.last_same, found.first_different) == ("1.1", "1.2")
    assert any("changes again later" in note for note in found.notes)


def test_a_test_that_begins_to_fail_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, _ = run(tmp_path, monkeypatch, [1.0, 1.0, FAILS])
    assert (found.first_different, found.summary) == ("1.2", "failed, not passed: AssertionError")


def test_other_packages_that_differ_are_named_as_possible_causes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, _ = run(tmp_path, monkeypatch, [1.0, 2.0])
    text = describe_bisected(replace(found, other_packages=("numpy 2.2.6 -> 2.4.6",)))
    assert "the change may be theirs. Repeat with --with=numpy==2.2.6" in " ".join(text.split())


def test_steps_and_the_plan_fit_into_80_columns():
    step = Step("2.3.5", "skipped", "the environment could not be made: " + "x" * 90, 1234.5, "made")
    assert len(describe_step(step)) <= 80
    assert "at most 7 to try" in describe_plan("t.py::test", "numpy", "2.2.0", "2.4.6", 20)
    assert "at most 2 to try" in describe_plan("t.py::test", "numpy", "2.2.0", "2.4.6", 2)
