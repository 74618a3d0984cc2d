"""What the classes of objects hold: attributes that a run changes, and classes that a run makes."""

from __future__ import annotations

import dataclasses
import functools
import gc
import logging
import threading
import typing
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_locals, capture_tree
from pytest_repro.comparing import compare
from pytest_repro.comparing.artifacts import compare_artifacts
from pytest_repro.model import Artifacts, Verdict


class Average:
    """Keeps its state on the class, by mistake."""

    shadow: typing.ClassVar[dict[str, Any]] = {}
    updates = 0
    mean = 0.0

    def predict(self) -> int:
        return 0


class Registered:
    instances: typing.ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()
    log = logging.getLogger("x")
    lock = threading.Lock()
    folder = Path(__file__).parent

    def __init__(self) -> None:
        self.instances.add(self)


class KeepsByAddress:
    """A descriptor that keeps the values of all objects."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self.values.get(id(owner))

    def __set__(self, owner: Any, value: Any) -> None:
        self.values[id(owner)] = value


class KeepsInTheObject:
    """A descriptor that keeps a value in the object's own attributes."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"_{name}"

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return getattr(owner, self.name)

    def __set__(self, owner: Any, value: Any) -> None:
        setattr(owner, self.name, value)


class Described:
    by_address = KeepsByAddress()


class WellDescribed:
    size = KeepsInTheObject()

    def __init__(self, size: int) -> None:
        self.size = size


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    seen: typing.ClassVar[list[int]] = []


class Point(typing.NamedTuple):
    x: int = 0


class Text(str):
    known: typing.ClassVar[list[int]] = []


@pytest.fixture(autouse=True)
def classes_as_they_were() -> Iterator[None]:
    yield
    Average.shadow, Average.updates, Average.mean = {}, 0, 0.0
    Settings.seen.clear()
    Text.known.clear()
    if "predict" in vars(Average):
        Average.predict = _PREDICT  # type: ignore[method-assign]


_PREDICT = Average.predict


def capture(value: Any) -> Artifacts:
    return capture_tree(value, surroundings=True)


def verdict_of(make: Callable[[int], Any]) -> tuple[Verdict, Verdict]:
    """Return the verdicts on two equal runs and on two that differ."""
    found = [capture(make(number)) for number in (0, 0, 1)]
    return compare_artifacts(found[1], found[0]).verdict, compare_artifacts(found[2], found[0]).verdict


def average(number: int) -> Average:
    Average.shadow = {"w": np.full(2, number)}
    return Average()


def averaged(number: int) -> Average:
    Average.mean = float(number)
    return Average()


def counted(number: int) -> Average:
    Average.updates = number
    return Average()


def replaced(number: int) -> Average:
    Average.predict = lambda self: number  # type: ignore[method-assign]
    return Average()


def settings(number: int) -> Settings:
    Settings.seen[:] = [number]
    return Settings()


def text(number: int) -> Text:
    Text.known[:] = [number]
    return Text("a")


def made(number: int) -> Any:
    class Model:
        def predict(self) -> int:
            return number

    return Model()


def made_with_default(number: int) -> Any:
    class Model:
        def predict(self, start: int = number) -> int:
            return start

    return Model()


def made_with_property(number: int) -> Any:
    class Model:
        @property
        def size(self) -> int:
            return number

    return Model()


def made_by_type(number: int) -> Any:
    return type("Model", (), {"predict": (lambda self: 1) if number else (lambda self: 2)})()


def in_a_base(number: int) -> Any:
    Average.mean = float(number)

    class Child(Average):
        pass

    return Child()


@pytest.mark.parametrize(
    "make",
    [
        average,
        averaged,
        replaced,
        settings,
        text,
        made,
        made_with_default,
        made_with_property,
        made_by_type,
        in_a_base,
        pytest.param(lambda number: type(average(number)), id="the class itself"),
        pytest.param(lambda number: {"layer": type(average(number))}, id="the class in a container"),
        pytest.param(lambda number: [1, {average(number)}], id="in a set"),
        pytest.param(lambda number: functools.partial(len, averaged(number)), id="in a partial"),
    ],
)
def test_what_a_run_changes_on_a_class_is_seen(make: Callable[[int], Any]) -> None:
    assert verdict_of(make) == (Verdict.IDENTICAL, Verdict.DIVERGED)


def test_a_class_is_captured_once_under_its_name() -> None:
    found = capture({"a": averaged(1), "b": Average()})
    assert found.leaves["class Average/mean"].data == 1.0
    assert [name for name in found.leaves if name.endswith("mean")] == ["class Average/mean"]


def test_a_counter_on_a_class_is_no_result_and_one_on_a_class_that_the_run_made_is() -> None:
    assert verdict_of(counted) == (Verdict.IDENTICAL, Verdict.IDENTICAL)
    kinds = verdict_of(lambda number: type("Model", (), {"size": number})())
    assert kinds == (Verdict.IDENTICAL, Verdict.DIVERGED)


def test_two_classes_of_one_name_are_two() -> None:
    leaves = capture([made(1), made(2)]).leaves
    assert leaves["result/class made.<locals>.Model/predict/closure/number"].data == 1
    assert leaves["result/class made.<locals>.Model 2/predict/closure/number"].data == 2


@pytest.mark.parametrize("value", [Settings(), Point(), WellDescribed(1), Settings], ids=lambda value: str(value)[:12])
def test_what_a_class_statement_defines_adds_nothing(value: Any) -> None:
    names = [name for name in capture(value).leaves if "class " in name and not name.endswith("/size/name")]
    assert [
        name for name in names if "seen" not in name and not name.endswith((" Settings", "Described", "/size"))
    ] == []


def test_resources_and_weak_registers_of_a_class_hold_no_result() -> None:
    others = [Registered() for _ in range(2)]
    first, second = capture([Registered(), 1]), capture([Registered(), 1])
    comparison = compare_artifacts(second, first)
    assert comparison.verdict is Verdict.IDENTICAL
    assert {entry.name.rpartition("/")[2] for entry in comparison.not_compared} == {
        "instances",
        "log",
        "lock",
        "folder",
    }
    del others


def test_what_a_descriptor_keeps_for_all_objects_is_state_that_was_left_out() -> None:
    assert compare_artifacts(capture([Described(), 1]), capture([Described(), 1])).verdict is Verdict.IDENTICAL
    value = Described()
    value.by_address = 1
    comparison = compare_artifacts(capture([value, 1]), capture([value, 1]))
    assert comparison.verdict is Verdict.INCONCLUSIVE
    Described.__dict__["by_address"].values.clear()


def test_a_part_of_a_class_that_cannot_be_captured_is_state_that_was_left_out() -> None:
    class Stream:
        source = iter([1])

    comparison = compare_artifacts(capture([Stream(), 1]), capture([Stream(), 1]))
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert [entry.name.rpartition("/")[2] for entry in comparison.not_compared] == ["source"]


def test_a_class_that_refers_to_itself_is_captured() -> None:
    class Node:
        root: Any = None

        def __init__(self) -> None:
            super().__init__()

        def copy(self) -> Any:
            return Node()

    Node.root = Node()
    assert compare_artifacts(capture(Node()), capture(Node())).verdict is Verdict.IDENTICAL


def test_methods_of_a_made_class_may_close_over_fixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        def predict(self) -> Any:
            return monkeypatch

    comparison = compare_artifacts(capture([Model(), 1]), capture([Model(), 1]))
    assert comparison.verdict is Verdict.IDENTICAL
    assert [entry.reason for entry in comparison.not_compared] == ["a fixture of pytest holds no result"]


def test_two_live_values_and_local_variables_are_compared_without_their_classes() -> None:
    assert compare([average(0), 1], [average(1), 1]).verdict is Verdict.IDENTICAL  # at one time they have one class
    model = made(1)
    assert not any("class " in name for name in capture_locals({"x": model, "y": [1]}).leaves)


@pytest.mark.parametrize("base", [object, float, list, dict])
def test_a_class_that_a_test_has_made_does_not_outlive_it(base: type) -> None:
    kind = type("Made", (base,), {"predict": lambda self: 0})
    value = kind()
    alive = weakref.ref(kind)
    capture([value, 1])
    capture_locals({"x": value, "y": [value]})
    del kind, value
    gc.collect()
    assert alive() is None
