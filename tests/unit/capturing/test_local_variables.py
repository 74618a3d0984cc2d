"""Local variables of a test as artifacts."""

from __future__ import annotations

import collections
import pathlib
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_locals


def names(**variables: Any) -> list[str]:
    return capture_locals(variables).names


@pytest.mark.parametrize("value", [1, 1.5, True, 2j, np.float32(1), np.zeros(2)])
def test_numbers_and_arrays_are_taken(value: Any) -> None:
    assert names(x=value) == ["x"]


def test_containers_of_numbers_and_arrays_are_taken() -> None:
    assert names(d={"a": [1, (2.0, np.zeros(2))]}) == ["d/a/0", "d/a/1/0", "d/a/1/1"]


@pytest.mark.parametrize(
    "value",
    ["text", b"x", None, pathlib.Path("/tmp"), object(), len, np, np.dtype("f4"), np.random.default_rng(0), range(3)],
)
def test_everything_else_is_left_out_also_within_a_container(value: Any) -> None:
    assert names(x=value) == []
    assert names(x=[1.0, value]) == []
    assert names(x={"a": {"b": value}, "c": 1}) == []


def test_an_object_array_counts_as_a_container() -> None:
    assert names(x=np.array([1, "text"], dtype=object)) == []
    assert names(x=np.array([1, 2.5], dtype=object)) == ["x/0", "x/1"]


def test_names_that_are_not_the_tests_own_are_left_out() -> None:
    variables = {"@py_assert1": True, "self": 1, "cls": 2, "kept": 3}
    assert capture_locals(variables).names == ["kept"]


class Hostile(collections.UserDict[str, int]):
    def __iter__(self) -> Any:
        raise ZeroDivisionError

    def __len__(self) -> int:
        raise ZeroDivisionError


def test_no_value_makes_it_fail() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    clash = {1: 0, "1": 0}
    assert names(a=Hostile(), b=cycle, c=deep, d=clash, kept=1) == ["kept"]


def test_an_empty_container_is_no_artifact() -> None:
    assert len(capture_locals({"x": [], "y": {}}).leaves) == 0


def test_a_later_change_is_not_seen() -> None:
    array = np.zeros(2)
    kept = capture_locals({"x": array})
    array[0] = 1
    assert kept.leaves["x"].data[0] == 0


def test_models_and_frames_are_taken_with_all_that_is_in_them() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 1)
    found = names(model=model, optimizer=torch.optim.SGD(model.parameters()), generator=torch.Generator())
    assert found[:2] == ["model/weight", "model/bias"]
    assert "optimizer/param_groups/0/lr" in found
    assert not any(name.startswith("generator") for name in found)


def test_estimators_are_taken_though_they_hold_text() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    found = names(model=model, both=[model])
    assert {"model/coef_", "model/solver", "both/0/coef_"} <= set(found)
