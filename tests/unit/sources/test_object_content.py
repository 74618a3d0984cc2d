from __future__ import annotations

import array
import collections
import itertools
import random
from typing import Any

import numpy as np
import pytest

from pytest_repro.sources import object_content
from pytest_repro.sources.object_content import Content, TooLargeError


class Model:
    def __init__(self) -> None:
        self.weights, self.history, self.step = np.zeros(3), ["a"], 0


class Slotted:
    __slots__ = ("total", "weights")

    def __init__(self) -> None:
        self.weights, self.total = np.zeros(3), 0


class Counting:
    def __init__(self) -> None:
        self.numbers = itertools.count(5)

    def draw(self) -> int:
        return next(self.numbers)


def make_counter() -> Any:
    calls = 0
    seen: list[int] = []

    def count() -> int:
        nonlocal calls
        calls += 1
        seen.append(calls)
        return calls

    return count


def train(model: Model) -> None:
    model.weights += 1.0
    model.history.append("b")
    model.step += 1
    model.extra = 1  # type: ignore[attr-defined]


CASES: dict[str, tuple[Any, Any, Any]] = {
    "array": (lambda: np.zeros(3), lambda v: v.__iadd__(1.0), lambda v: v.tolist()),
    "array of objects": (lambda: np.array([[1], [2]], dtype=object), lambda v: v.fill(None), lambda v: v.tolist()),
    "list": (lambda: [3, 1], lambda v: v.sort(), list),
    "nested": (lambda: {"x": [np.zeros(2)]}, lambda v: v["x"][0].fill(7), lambda v: v["x"][0].tolist()),
    "new key": (lambda: {"a": 1}, lambda v: v.update(b=2), dict),
    "defaultdict": (lambda: collections.defaultdict(list), lambda v: v["a"].append(1), dict),
    "deque": (lambda: collections.deque([1, 2]), lambda v: v.rotate(), list),
    "set": (lambda: {1, 2}, lambda v: v.discard(1), sorted),
    "bytes": (lambda: bytearray(b"ab"), lambda v: v.append(3), bytes),
    "numbers": (lambda: array.array("d", [1.0]), lambda v: v.append(2.0), list),
    "generator": (lambda: np.random.default_rng(0), lambda v: v.normal(), lambda v: repr(v.bit_generator.state)),
    "legacy": (lambda: np.random.RandomState(0), lambda v: v.normal(), lambda v: repr(v.get_state(legacy=False))),
    "random": (lambda: random.Random(0), lambda v: v.random(), lambda v: v.getstate()),
    "object": (Model, train, lambda v: repr(vars(v))),
    "slots": (Slotted, lambda v: (setattr(v, "total", 2), v.weights.fill(2)), lambda v: (v.total, v.weights.tolist())),
    "iterator inside": (Counting, lambda v: next(v.numbers), lambda v: repr(v.numbers)),
    "closure": (make_counter, lambda v: v(), lambda v: [cell.cell_contents for cell in v.__closure__]),
    "method": (lambda: Counting().draw, lambda v: v(), lambda v: repr(v.__self__.numbers)),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_a_changed_object_is_recognised_and_restored_twice(kind: str) -> None:
    make, change, read = CASES[kind]
    value = make()
    before = repr(read(value))
    content = Content(value)
    assert content.find_changed() == []
    for _ in range(2):
        change(value)
        assert repr(read(value)) != before
        assert content.find_changed()
        content.restore()
        assert repr(read(value)) == before
        assert content.find_changed() == []


def test_objects_keep_their_identity_and_shared_parts_stay_shared() -> None:
    shared = np.zeros(3)
    value = {"one": shared, "other": [shared]}
    content = Content(value)
    shared += 1.0
    value["one"] = np.ones(3)
    content.restore()
    assert value["one"] is shared
    assert value["other"][0] is shared
    assert shared.tolist() == [0.0, 0.0, 0.0]


def test_the_part_that_changed_is_named() -> None:
    model = Model()
    value = {"model": model}
    content = Content(value)
    model.weights += 1.0
    assert content.find_changed() == ["['model'].weights"]


def test_a_cycle_ends() -> None:
    value: list[Any] = []
    value.append(value)
    content = Content(value)
    value.append(1)
    content.restore()
    assert len(value) == 1


def test_an_iterator_cannot_be_restored_in_place() -> None:
    assert Content(itertools.count()).is_opaque
    assert not Content([1]).is_opaque


def test_what_holds_too_many_objects_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_content, "MAX_OBJECTS", 10)
    with pytest.raises(TooLargeError):
        Content([[number] for number in range(20)])


def test_data_that_may_not_be_written_is_left_alone() -> None:
    value = np.zeros(3)
    value.flags.writeable = False
    content = Content(value)
    content.restore()
    assert content.find_changed() == []
