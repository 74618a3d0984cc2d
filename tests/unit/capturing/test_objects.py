"""Objects of classes that no adapter knows, functions, subclasses of known types, and what holds no result."""

from __future__ import annotations

import array
import collections
import concurrent.futures
import ctypes
import dataclasses
import functools
import io
import itertools
import logging
import mmap
import operator
import re
import sqlite3
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, digest, tree
from pytest_repro.comparing import compare
from pytest_repro.comparing.artifacts import compare_artifacts
from pytest_repro.errors import UnsupportedTypeError
from pytest_repro.frameworks.base_values import Internal
from pytest_repro.model import Verdict


class Average:
    """As a helper of one's own for averaged weights."""

    def __init__(self, value: float = 0.0, updates: int = 0) -> None:
        self.value, self.updates = np.full(3, value), updates


class Slotted:
    __slots__ = ("__private", "scale")

    def __init__(self, scale: float, private: int = 0) -> None:
        self.scale, self.__private = scale, private


class Both(Slotted):
    __slots__ = ("__dict__", "other")


class Linked:
    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.next: Any = None
        self.owner: Any = None


def assert_differs(one: Any, other: Any) -> None:
    assert compare(one, other).verdict is Verdict.DIVERGED, (capture_tree(one), capture_tree(other))


def assert_same(one: Any, other: Any) -> None:
    assert compare(one, other).verdict is Verdict.IDENTICAL, compare(one, other)
    assert digest(capture_tree(one)) == digest(capture_tree(other))


def test_an_object_is_captured_by_its_attributes_wherever_it_is() -> None:
    assert capture_tree(Average()).names == ["updates", "value"]
    assert capture_tree({"a": [Average()]}).names == ["a/0/updates", "a/0/value"]
    assert_same({"a": [Average(1.0)]}, {"a": [Average(1.0)]})
    assert_differs({"a": [Average(1.0)]}, {"a": [Average(2.0)]})
    assert_differs(Average(), Average(updates=1))
    assert_differs(Average(), Slotted(1.0))


def test_slots_count_private_and_inherited_ones_too() -> None:
    assert_same(Slotted(1.0), Slotted(1.0))
    assert_differs(Slotted(1.0), Slotted(2.0))
    assert_differs(Slotted(1.0), Slotted(1.0, private=1))
    one, other = Both(1.0), Both(1.0)
    assert_same(one, other)
    other.other = 3
    assert_differs(one, other)
    one.other, one.free = 3, "x"  # type: ignore[attr-defined]
    assert_differs(one, other)


def test_an_attribute_is_read_past_what_the_class_does_on_access() -> None:
    class Guarded:
        def __init__(self, weight: float) -> None:
            self.weight = weight

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("called")

    assert_differs(Guarded(1.0), Guarded(2.0))


def ring(size: int, value: int) -> Linked:
    nodes = [Linked() for _ in range(size)]
    for node, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        node.next, node.owner = following, nodes[0]
    nodes[-1].number = value
    return nodes[0]


def test_objects_that_refer_to_each_other_are_captured_once() -> None:
    assert_same(ring(20, 1), ring(20, 1))
    assert_differs(ring(20, 1), ring(20, 2))
    first = ring(3, 1)
    assert capture_tree(first).leaves["owner"].data == "the same object as the root"


def test_a_net_of_objects_takes_no_more_than_its_size() -> None:
    nodes = [Linked(i) for i in range(60)]
    for node in nodes:
        node.next, node.owner = nodes, {"all": nodes[:30]}
    assert len(capture_tree(nodes[0])) < 60 * 100


def test_references_do_not_depend_on_the_order_in_which_attributes_were_set() -> None:
    shared = Average(1.0)

    def make(names: list[str]) -> Linked:
        holder = Linked()
        for name in names:
            setattr(holder, name, shared)
        return holder

    assert_same(make(["a", "b"]), make(["b", "a"]))


def test_a_container_that_contains_its_own_object_or_itself_ends() -> None:
    def make(value: float) -> Average:
        average = Average(value)
        average.history = [average, {"again": average}]  # type: ignore[attr-defined]
        average.history.append(average.history)  # type: ignore[attr-defined]
        return average

    assert_same(make(1.0), make(1.0))
    assert_differs(make(1.0), make(2.0))


@pytest.mark.parametrize(
    "value, reason",
    [
        (threading.Lock(), "a lock"),
        (threading.Condition(), "a lock"),
        (sys.__stdout__, "an open file"),
        (logging.getLogger("x"), "a logger"),
        (np, "a module"),
    ],
)
def test_what_holds_no_result_is_listed_and_the_verdict_stands(value: Any, reason: str) -> None:
    holder = Average()
    holder.resource = value  # type: ignore[attr-defined]
    comparison = compare({"it": holder, "x": 1}, {"it": holder, "x": 1})
    assert comparison.verdict is Verdict.IDENTICAL
    assert [(found.name, found.reason) for found in comparison.not_compared] == [
        ("it/resource", f"{reason} holds no result")
    ]
    assert compare([value, 1], [value, 1]).not_compared


def test_a_part_of_an_object_that_cannot_be_captured_makes_the_verdict_inconclusive() -> None:
    def make(weight: float) -> Average:
        average = Average(weight)
        average.batches = [1, (i for i in [weight]), {"db": sqlite3.connect(":memory:")}]  # type: ignore[attr-defined]
        return average

    comparison = compare(make(1.0), make(1.0))
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert not comparison
    assert [(found.name, found.is_state) for found in comparison.not_compared] == [
        ("batches/1", True),
        ("batches/2/db", True),
    ]
    assert "state was not compared" in str(comparison)
    assert compare(make(1.0), make(2.0)).verdict is Verdict.DIVERGED  # the rest is compared all the same


def test_a_file_in_memory_is_its_content() -> None:
    assert_same(io.BytesIO(b"ab"), io.BytesIO(b"ab"))
    assert_differs(io.BytesIO(b"ab"), io.BytesIO(b"ac"))
    assert_differs(io.StringIO("ab"), io.StringIO("ac"))


def scaler(factor: float, offset: float = 0.0) -> Callable[[float], float]:
    def scale(x: float, y: float = offset) -> float:
        return x * factor + y

    return scale


def test_a_function_is_captured_by_name_code_defaults_and_closure() -> None:
    assert_same({"f": scaler(1.0)}, {"f": scaler(1.0)})
    assert_differs({"f": scaler(1.0)}, {"f": scaler(2.0)})
    assert_differs({"f": scaler(1.0)}, {"f": scaler(1.0, offset=1.0)})
    assert_differs({"f": lambda x: x + 1}, {"f": lambda x: x + 2})
    assert_differs({"f": lambda x: x + 1}, {"f": lambda x: x - 1})
    assert_differs({"f": lambda x: (lambda y: y)(x)}, {"f": lambda x: (lambda y: -y)(x)})
    assert_differs({"f": len}, {"f": sum})
    assert_differs({"f": np.add}, {"f": np.subtract})
    assert_differs({"f": Average}, {"f": Slotted})


def test_a_function_counts_the_attributes_that_were_set_on_it() -> None:
    one, other = scaler(1.0), scaler(1.0)
    other.calls = 3  # type: ignore[attr-defined]
    assert_differs({"f": one}, {"f": other})


def test_methods_and_partials_count_what_they_are_bound_to() -> None:
    class Model:
        def __init__(self, weight: float) -> None:
            self.weight = weight

        def predict(self) -> float:
            return self.weight

    assert_differs({"f": Model(1.0).predict}, {"f": Model(2.0).predict})
    assert_same({"f": Model(1.0).predict}, {"f": Model(1.0).predict})
    assert_differs({"f": functools.partial(max, 1)}, {"f": functools.partial(max, 2)})
    assert_differs({"f": [1].append}, {"f": [2].append})
    assert_same({"f": functools.cache(scaler(1.0))}, {"f": functools.cache(scaler(1.0))})
    assert_differs({"f": functools.cache(scaler(1.0))}, {"f": functools.cache(scaler(2.0))})


@pytest.mark.parametrize(
    "one, other",
    [
        (re.compile("a"), re.compile("b")),
        (operator.itemgetter(1), operator.itemgetter(2)),
        (itertools.count(1), itertools.count(2)),
        (ValueError("a"), ValueError("b")),
        (collections.deque([1], maxlen=2), collections.deque([2], maxlen=2)),
        (memoryview(np.zeros((2, 3), "f4")), memoryview(np.zeros((2, 3), "i4"))),
        (memoryview(np.zeros((2, 3))), memoryview(np.zeros((3, 2)))),
    ],
)
def test_a_compiled_object_is_captured_by_what_pickle_would_save(one: Any, other: Any) -> None:
    assert_differs({"a": one}, {"a": other})
    assert_same({"a": one}, {"a": one})


@dataclasses.dataclass
class Output(dict):  # type: ignore[type-arg]
    logits: Any = None


@dataclasses.dataclass
class Losses(list):  # type: ignore[type-arg]
    best: float = 0.0


@dataclasses.dataclass
class State:
    step: int = 1


class Point(typing.NamedTuple("Point", [("x", float)])):
    pass


class Array(np.ndarray):
    __slots__ = ("scale",)


class Number(float):
    unit: str


class Text(str):
    source: str


class Kinds(set):  # type: ignore[type-arg]
    weights: Any


class Config(collections.UserDict):  # type: ignore[type-arg]
    version: int


def with_attribute(value: Any, name: str, attribute: Any) -> Any:
    setattr(value, name, attribute)
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda x: Output(logits=x),
        lambda x: with_attribute(Output(), "more", x),
        lambda x: Losses(best=x),
        lambda x: with_attribute(State(), "w", x),
        lambda x: with_attribute(Point(1.0), "grad", x),
        lambda x: with_attribute(np.zeros(2).view(Array), "scale", x),
        lambda x: with_attribute(Number(1.0), "unit", x),
        lambda x: with_attribute(Text("a"), "source", x),
        lambda x: with_attribute(Kinds([1, 2]), "weights", x),
        lambda x: with_attribute(Config(a=1), "version", x),
    ],
)
def test_a_subclass_is_its_base_and_what_it_adds(make: Callable[[Any], Any]) -> None:
    assert_differs({"a": make(1.0)}, {"a": make(2.0)})
    assert_differs({"a": make(np.zeros(2))}, {"a": make(np.ones(2))})
    assert_same({"a": make(1.0)}, {"a": make(1.0)})


def test_an_entry_that_is_mirrored_as_an_attribute_is_captured_once() -> None:
    mirrored = Output(logits=np.zeros(2))
    mirrored["logits"] = mirrored.logits
    assert capture_tree(mirrored).names == ["logits"]


def test_a_key_and_an_attribute_of_one_name_are_two_values() -> None:
    one, other = Output(logits=1), Output(logits=1)
    one["logits"] = other["logits"] = 2
    assert_same(one, other)
    one.logits = 3
    assert_differs(one, other)


def test_an_object_in_a_set_is_captured_by_its_content() -> None:
    assert_same({"s": {Linked(1), Linked(2)}}, {"s": {Linked(2), Linked(1)}})
    assert_differs({"s": {Linked(1), Linked(2)}}, {"s": {Linked(1), Linked(3)}})


def test_two_parts_of_one_name_in_an_object_are_told() -> None:
    average = Average()
    average.table = {1: "a", "1": "b"}  # type: ignore[attr-defined]
    comparison = compare(average, average)
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert "share the path" in comparison.not_compared[0].reason


def test_an_object_nested_too_deeply_is_told() -> None:
    chain = Linked()
    tail = chain
    for number in range(300):
        tail.next = Linked(number)
        tail = tail.next
    comparison = compare(chain, chain)
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert "nested more than 100 deep" in comparison.not_compared[0].reason


def test_an_iterator_of_ones_own_is_captured_by_its_attributes() -> None:
    class Loader(Iterator[int]):
        def __init__(self, position: int) -> None:
            self.position = position

        def __next__(self) -> int:
            raise StopIteration

    one, other = Average(), Average()
    one.loader, other.loader = Loader(1), Loader(2)  # type: ignore[attr-defined]
    assert_differs(one, other)


class Worker(threading.Thread):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Deep(Slotted):
    __slots__ = ("__private_state__",)


def deep(value: Any) -> Deep:
    made = Deep(1.0)
    made.__private_state__ = value
    return made


def local(value: Any) -> threading.local:
    made = threading.local()
    made.value = value
    return made


def finished(value: Any) -> concurrent.futures.Future[Any]:
    made: concurrent.futures.Future[Any] = concurrent.futures.Future()
    made.set_result(value)
    return made


def mapped(value: int) -> mmap.mmap:
    made = mmap.mmap(-1, 8)
    made[0] = value
    return made


class Shy(dict):  # type: ignore[type-arg]
    """Shows a part of its entries."""

    def __iter__(self) -> Any:
        return (key for key in dict.keys(self) if not key.startswith("_"))

    def items(self) -> Any:
        return [(key, self[key]) for key in self]


def liar(base: Any) -> Any:
    return type(f"Liar{base.__name__}", (base,), {"__iter__": lambda self: iter([0]), "__len__": lambda self: 1})


class History(logging.Handler):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.losses = [value]


@dataclasses.dataclass
class Masked:
    weight: Any

    def __getattribute__(self, name: str) -> Any:
        return 0 if name == "weight" else object.__getattribute__(self, name)


def caused(value: Any) -> Exception:
    made = ValueError("a")
    made.__cause__ = KeyError(value)
    return made


def keyed(value: Any) -> dict[Any, Any]:
    key = Text("a")
    key.source = value
    return {key: 1}


@pytest.mark.parametrize(
    "make",
    [
        lambda value: Shy(a=1, _b=value),
        lambda value: liar(list)([value]),
        lambda value: liar(tuple)([value]),
        lambda value: liar(set)([value]),
        lambda value: liar(collections.deque)([value]),
        History,
        Masked,
        caused,
        keyed,
        lambda value: collections.defaultdict(lambda: value, a=1),
        lambda value: collections.ChainMap({"a": 1}, {"a": value}),
        lambda value: with_attribute(functools.partial(int), "extra", value),
        Worker,
        deep,
        local,
        finished,
        mapped,
        lambda value: collections.deque([1], maxlen=value),
        lambda value: collections.defaultdict(int if value == 1 else float, a=1),
        lambda value: collections.UserList([value]),
        lambda value: array.array("d", [value]),
        lambda value: (ctypes.c_double * 2)(value),
        lambda value: staticmethod(scaler(value)),
    ],
)
def test_state_in_unusual_places_counts(make: Callable[[Any], Any]) -> None:
    assert_differs({"a": make(1)}, {"a": make(2)})
    assert compare({"a": make(1), "b": 1}, {"a": make(1), "b": 1})


def test_a_cache_and_a_hidden_function_are_told() -> None:
    assert [found.reason for found in capture_tree({"f": functools.cache(scaler(1.0))}).not_compared] == [
        "the cache of a function holds what it has returned"
    ]
    with pytest.raises(UnsupportedTypeError, match="frompyfunc hides the function"):
        capture_tree({"f": np.frompyfunc(scaler(1.0), 1, 1)})


def test_a_path_stays_text(tmp_path: Path) -> None:
    assert capture_tree({"p": tmp_path}).leaves["p"].data == str(tmp_path)


def test_a_librarys_bookkeeping_without_end_is_listed_and_the_rest_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_INTERNAL_LEAVES", 50)
    shared = Average(3.0)

    def capture(value: float) -> Any:
        holder = {"state": Internal([list(range(10)), shared, list(range(100))]), "small": Internal([value])}
        return capture_tree({**holder, "value": value, "shared": shared})

    found = capture(1.0)
    assert [(entry.name, entry.is_state) for entry in found.not_compared] == [("state", False)]
    assert "more than 50 values" in found.not_compared[0].reason
    assert [name for name in found.leaves if "state" in name] == ["state"]
    assert "shared/value" in found.leaves  # which was first met in what was left out
    assert compare_artifacts(capture(2.0), found).verdict is Verdict.DIVERGED
