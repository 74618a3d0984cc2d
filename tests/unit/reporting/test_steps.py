"""Distances over the steps of a comparison."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_repro.capturing import capture_tree, merge
from pytest_repro.comparing import compare_artifacts
from pytest_repro.model import Artifacts, RunResult, TestResult, Verdict
from pytest_repro.model.codec import encode
from pytest_repro.reporting.steps import MAX_POINTS, is_step, make_series


def captured(**values: Any) -> Artifacts:
    """Capture values under names in which __ stands for a slash."""
    found = Artifacts()
    for name, value in values.items():
        merge(found, capture_tree(value, root=name.replace("__", "/"), top_level=False), where=name)
    return found


def steps_of(expected: Artifacts, *others: Artifacts) -> list[dict[str, Any]]:
    comparisons = [(RunResult(n), compare_artifacts(other, expected)) for n, other in enumerate(others, 2)]
    steps = [name for name in expected.names if is_step(name)]
    result = TestResult("t", Verdict.DIVERGED, 0, comparisons=comparisons, captured_steps=steps)
    series: list[dict[str, Any]] = encode(make_series(result))
    return series


def test_every_step_captured_has_its_distance_and_identical_ones_none() -> None:
    first = captured(step__0__loss=1.0, step__2__loss=2.0, step__10__loss=4.0, other=1.0)
    (found,) = steps_of(first, captured(step__0__loss=1.0, step__2__loss=2.5, step__10__loss=5.0, other=2.0))
    assert (found["run"], found["name"], found["captured"]) == (2, "loss", 3)
    assert (found["differing"], found["first_differing"]) == (2, 2)
    assert [(p["step"], p["kind"], p["max_abs"]) for p in found["points"]] == [
        (0, "identical", 0.0),
        (2, "values", 0.5),
        (10, "values", 1.0),
    ]


def test_a_value_that_never_differs_has_no_series() -> None:
    assert steps_of(captured(step__0__loss=1.0), captured(step__0__loss=1.0)) == []


def test_values_are_in_the_order_in_which_they_first_differ() -> None:
    first = captured(step__0__a=1.0, step__0__b=np.zeros(2), step__1__a=1.0, step__1__b=np.zeros(2))
    other = captured(step__0__a=1.0, step__0__b=np.ones(2), step__1__a=2.0, step__1__b=np.ones(2))
    assert [(s["name"], s["run"]) for s in steps_of(first, other, other)] == [("b", 2), ("b", 3), ("a", 2), ("a", 3)]


def test_a_step_that_one_run_lacks_is_a_point_without_a_figure() -> None:
    first = captured(step__0__loss=1.0, step__1__loss=1.0)
    (found,) = steps_of(first, captured(step__0__loss=1.0, step__7__loss=1.0))
    assert [(p["step"], p["kind"], p["max_abs"]) for p in found["points"]] == [
        (0, "identical", 0.0),
        (1, "missing", None),
        (7, "extra", None),
    ]


def test_a_distance_that_json_lacks_is_text() -> None:
    (found,) = steps_of(captured(step__0__x=-1.7e308), captured(step__0__x=1.7e308))
    assert found["points"][0]["max_abs"] == "inf"
    (found,) = steps_of(captured(step__0__x=1.0), captured(step__0__x=math.nan))
    assert found["points"][0]["max_abs"] is None


def test_steps_beyond_the_limit_are_counted() -> None:
    many = {f"step__{n}__x": 1.0 for n in range(MAX_POINTS + 5)}
    (found,) = steps_of(captured(**many), captured(**{**many, "step__3__x": 2.0}))
    assert (len(found["points"]), found["left_out"], found["captured"]) == (MAX_POINTS, 5, MAX_POINTS + 5)


def test_only_values_of_steps_are_recognised_as_such() -> None:
    assert [is_step(name) for name in ("step/0/loss", "step/12/w/fc.bias", "step/x/loss", "step/1", "mystep/1/a")] == [
        True,
        True,
        False,
        False,
        False,
    ]
