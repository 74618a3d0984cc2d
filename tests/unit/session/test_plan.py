"""The plan of a test's runs, from its settings."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro import Axis
from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance
from pytest_repro.session.flow import plan_runs
from tests.unit.session.test_judging import make_settings


def conditions(arguments: tuple[str, ...] = (), **changes: Any) -> list[dict[str, Any]]:
    """Return the conditions of the planned runs."""
    return [run.differs_in.as_dict() for run in plan_runs(make_settings(**changes), arguments, "test_it").runs]


def test_repeats_are_in_the_same_condition() -> None:
    plan = plan_runs(make_settings(runs=3), (), "test_it")
    assert [run.index for run in plan.runs] == [1, 2, 3]
    assert {run.seed for run in plan.runs} == {5}
    assert plan.engine == "in_process"
    assert plan.axis_names == []


def test_the_axes_come_after_the_repeats_or_after_run_1_without_a_number_of_runs() -> None:
    across = {"n": [1, 2, 3]}
    assert conditions(("n",), across=across, runs_are_given=False) == [{}, {"n": 2}, {"n": 3}]
    assert conditions(("n",), across=across, runs=2) == [{}, {}, {"n": 2}, {"n": 3}]


def test_every_run_has_every_argument() -> None:
    plan = plan_runs(make_settings(across={"a": [1, 2], "b": [3, 4]}, runs_are_given=False), ("a", "b"), "test_it")
    assert [run.arguments for run in plan.runs] == [{"a": 1, "b": 3}, {"a": 2, "b": 3}, {"a": 1, "b": 4}]


def test_the_seed_control_is_the_last_run_with_another_seed_in_the_same_condition() -> None:
    plan = plan_runs(make_settings(across={"n": [1, 2]}, seed_control=True), ("n",), "test_it")
    *_, last = plan.runs
    assert last.seed != 5
    assert last.differs_in.as_dict() == {"another seed": last.seed}
    assert last.complete.as_dict() == {"n": 1}


def test_an_axis_may_have_a_tolerance_of_its_own() -> None:
    plan = plan_runs(make_settings(across={"n": Axis([1, 2], rtol=0.5)}), ("n",), "test_it")
    assert plan.runs[1].policy.find("x") == Tolerance()
    assert plan.runs[2].policy.find("x").rtol == 0.5


def test_the_engine_is_the_weakest_that_can_make_all_runs() -> None:
    assert plan_runs(make_settings(across={"n": [1, 2]}), ("n",), "t").engine == "in_process"
    assert plan_runs(make_settings(isolate=True), (), "t").engine == "fork"
    assert plan_runs(make_settings(across=["hash_seed"], isolate=True), (), "t").engine == "spawn"


@pytest.mark.parametrize(
    "across, shares",
    [
        (["hash_seed"], True),
        ({"env": [{}, {"A": "1"}], "process": 2}, True),
        (["process"], False),
        (["process", "timezone"], False),
        (["timezone"], False),
        (None, False),
    ],
)
def test_forks_suffice_unless_only_another_process_is_needed(across: Any, shares: bool) -> None:
    plan = plan_runs(make_settings(across=across, runs=3), (), "t")
    assert plan.shares_interpreters is shares
    # Plain repeats show what an interpreter draws when it imports, which its forks share.
    assert [run.is_fresh for run in plan.runs[:4]] == [False, shares, shares, False][: len(plan.runs)]


def test_an_argument_that_the_test_lacks_is_rejected_by_name() -> None:
    with pytest.raises(UsageError, match=r"test_it.py::test_x: across= names 'n'"):
        plan_runs(make_settings(across={"n": [1, 2]}), ("m",), "test_it.py::test_x")
    assert conditions(("m",), across="n=1:2") == [{}, {}]
