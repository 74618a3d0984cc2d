"""Local variables as artifacts: values are captured, and what cannot be compared is listed beside them."""

from __future__ import annotations

import collections
import datetime
import enum
import functools
import logging
import pathlib
import random
import sys
import threading
import unittest.mock
import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_locals
from pytest_repro.capturing.run_texts import RunTexts


class Thing:
    """A user's class."""


class Color(enum.Enum):
    RED = 1


@dataclass
class Row:
    label: str
    thing: object


def names_of_locals(**variables: Any) -> list[str]:
    return capture_locals(variables).names


def names_left_out(**variables: Any) -> list[str]:
    return [entry.name for entry in capture_locals(variables).not_compared]


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        True,
        2j,
        None,
        np.float32(1),
        np.zeros(2),
        "text",
        b"x",
        bytearray(b"x"),
        pathlib.Path("/tmp"),
        range(3),
        Decimal(1),
        Color.RED,
        datetime.date(2024, 1, 1),
        datetime.datetime(2024, 1, 1),
        np.dtype("f4"),
    ],
)
def test_values_are_captured(value: Any) -> None:
    assert names_of_locals(x=value) == ["x"]
    assert names_left_out(x=value) == []


def test_containers_are_captured_element_by_element() -> None:
    row = Row("a", 1)
    point = collections.namedtuple("Point", "x y")(1, "b")
    found = names_of_locals(d={"a": [1, ("t", np.zeros(2))]}, row=row, point=point, s={"u"})
    assert found == ["d/a/0", "d/a/1/0", "d/a/1/1", "row/label", "row/thing", "point/x", "point/y", "s/'u'"]


@pytest.mark.parametrize(
    "value",
    [Thing(), object(), zlib.compressobj(), random.Random(0), np.random.default_rng(0), iter([1])],
)
def test_an_element_that_cannot_be_compared_is_listed_and_hides_no_other(value: Any) -> None:
    assert names_of_locals(x=value) == []
    assert names_left_out(x=value) == ["x"]
    nested = {"a": [1, value, "b"], "c": {"d": value, "e": 2}}
    assert names_of_locals(x=nested) == ["x/a/0", "x/a/2", "x/c/e"]
    assert names_left_out(x=nested) == ["x/a/1", "x/c/d"]


def test_the_reason_names_the_way_to_have_an_object_compared() -> None:
    (entry,) = capture_locals({"x": Thing()}).not_compared
    assert entry.type_name.endswith("test_local_values.Thing")
    assert entry.reason == "an object, which a scan does not look into: return it, or pass it to repro.capture"


def test_an_element_of_a_set_that_cannot_be_compared_is_listed() -> None:
    assert names_of_locals(x={"a", Thing}) == ["x/'a'"]
    assert names_left_out(x=frozenset({"a", datetime.UTC, Thing()})) == ["x"]


def test_a_key_without_a_text_of_its_own_is_listed() -> None:
    found = names_of_locals(x={Thing(): 1, "b": 2})
    assert found == ["x/entry 0/value", "x/entry 1/key", "x/entry 1/value"]
    assert names_left_out(x={Thing(): 1, "b": 2}) == ["x/entry 0/key"]


def test_the_number_of_elements_is_compared_where_some_are_left_out() -> None:
    two, three = (capture_locals({"x": [1, *[Thing()] * count]}).leaves["x"] for count in (1, 2))
    assert two.traits != three.traits


@pytest.mark.parametrize(
    "value",
    [
        len,
        np,
        Thing,
        lambda: 1,
        functools.partial(len, "a"),
        threading.Lock(),
        threading.Thread(),
        sys.__stdout__,
        logging.getLogger("x"),
        unittest.mock.Mock(),
        unittest.mock.MagicMock(spec=Thing),
        np.add,
        pytest.MonkeyPatch(),
        Ellipsis,
    ],
)
def test_code_streams_and_the_means_of_a_test_need_no_word(value: Any) -> None:
    assert names_of_locals(x=value, y=[value, 1]) == ["y/1"]
    assert names_left_out(x=value, y=[value, 1]) == []


def test_texts_paths_keys_and_bytes_are_normalised() -> None:
    base = "/tmp/pytest-of-x/pytest-3"
    variables = {
        "t": f"{base}/a",
        "p": pathlib.Path(base, "b"),
        "b": f"{base}/c".encode(),
        "d": {f"{base}/k": 1},
        "s": {base},
    }
    found = capture_locals(variables, texts=RunTexts([base])).leaves
    assert {name: leaf.data for name, leaf in found.items() if leaf.form == "value"} == {
        "t": "<tmp>/a",
        "p": "<tmp>/b",
        "b": b"<tmp>/c",
        "d/<tmp>/k": 1,
        "s/'<tmp>'": "<tmp>",
    }


def test_texts_in_arrays_are_normalised() -> None:
    base = "/tmp/pytest-of-x/pytest-3"
    variables = {"u": np.array([[f"{base}/a"], ["b"]]), "s": np.array([f"{base}/a".encode()])}
    found = capture_locals(variables, texts=RunTexts([base])).leaves
    assert found["u"].data.tolist() == [["<tmp>/a"], ["b"]]
    assert found["s"].data.tolist() == [b"<tmp>/a"]
    assert found["u"].dtype == capture_locals(variables).leaves["u"].dtype


def test_a_local_object_array_counts_as_a_container() -> None:
    assert names_of_locals(x=np.array([1, "text", Thing()], dtype=object)) == ["x/0", "x/1"]


def test_names_from_assertion_rewriting_are_skipped() -> None:
    assert names_of_locals(**{"@py_assert1": True, "self": 1, "cls": 2, "kept": 3}) == ["kept"]


class Hostile(collections.UserDict[str, int]):
    def __iter__(self) -> Any:
        raise ZeroDivisionError

    def __len__(self) -> int:
        raise ZeroDivisionError


def test_no_local_value_raises_an_error() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    clash = {1: 0, "1": 0}
    variables = {"a": Hostile(), "b": cycle, "c": deep, "d": clash, "kept": 1}
    assert names_of_locals(**variables) == ["b/0", "kept"]
    assert [name.partition("/")[0] for name in names_left_out(**variables)] == ["a", "b", "c", "d"]


def test_an_empty_local_container_is_not_an_artifact() -> None:
    assert len(capture_locals({"x": [], "y": {}}).leaves) == 0


def test_a_later_change_of_a_local_is_not_seen() -> None:
    array, numbers = np.zeros(2), [1, 2]
    kept = capture_locals({"x": array, "y": numbers})
    array[0], numbers[0] = 1, 5
    assert kept.leaves["x"].data[0] == 0
    assert kept.leaves["y/0"].data == 1


def test_local_models_and_frames_are_captured_completely() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 1)
    found = names_of_locals(model=model, optimizer=torch.optim.SGD(model.parameters()), generator=torch.Generator())
    assert found[:2] == ["model/weight", "model/bias"]
    assert "optimizer/param_groups/0/lr" in found
    assert not any(name.startswith("generator") for name in found)


def test_local_estimators_are_captured_with_their_text() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    found = names_of_locals(model=model, both=[model])
    assert {"model/coef_", "model/solver", "both/0/coef_"} <= set(found)
