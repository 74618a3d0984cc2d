"""State that values keep out of sight: each pair differs in one hidden place, and equal values are identical."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import ctypes
import datetime
import enum
import functools
import hashlib
import http
import io
import logging
import multiprocessing
import os
import re
import struct
import tempfile
import threading
import time
import types
import unittest.mock
import weakref
import zoneinfo
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from pytest_repro.capturing import capture_locals, capture_tree
from pytest_repro.comparing.artifacts import compare_artifacts
from pytest_repro.model import Comparison, Verdict


def compare_runs(first: Any, second: Any) -> Comparison:
    trees = [capture_tree(value, gradients=True, surroundings=True) for value in (first, second)]
    return compare_artifacts(trees[1], trees[0])


class Plain:
    pass


class Zone(datetime.tzinfo):
    def __init__(self, number: int) -> None:
        self.number = number

    def utcoffset(self, moment: object) -> datetime.timedelta:
        return datetime.timedelta(0)

    def dst(self, moment: object) -> None:
        return None

    def tzname(self, moment: object) -> str:
        return "zone"


class Base:
    pass


class HidesItsDict(Base):
    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return {}


class HidesItsOnlyDict:
    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return {}


class Pair(ctypes.Structure):
    _fields_: ClassVar = [("first", ctypes.c_int), ("second", ctypes.c_double)]


def with_attribute(value: Any, number: int) -> Any:
    object.__setattr__(value, "number", number)
    return value


def with_key(key: Any, number: int) -> Plain:
    value = Plain()
    value.__dict__[key] = number
    return value


def member(number: int) -> enum.Enum:
    class Colour(enum.Enum):
        RED = 1

    Colour.RED.note = number  # type: ignore[attr-defined]
    return Colour.RED


def member_of(number: int) -> enum.Enum:
    return enum.Enum("Setting", {"SIZES": [number]}).SIZES  # type: ignore[attr-defined,no-any-return]


def made_enum(make: Callable[[Any], Any], content: Callable[[int], Any], number: int) -> Any:
    return make(enum.Enum("Made", {"A": content(number)}))


def made_with_method(number: int) -> enum.Enum:
    class Colour(enum.Enum):
        RED = 1

        def weight(self) -> int:
            return number

    return Colour.RED


class Measure(enum.Enum):
    """An Enum whose values depend on the process that imported it."""

    HOST = os.getpid()

    @property
    def value(self) -> str:  # type: ignore[override]
        return "the same"


def without_context(suppressed: bool) -> ValueError:
    error = ValueError("x")
    error.__suppress_context__ = suppressed
    return error


def called(number: int) -> unittest.mock.Mock:
    mock = unittest.mock.MagicMock()
    mock.log("loss", number)
    return mock


def told(number: int) -> unittest.mock.Mock:
    return unittest.mock.Mock(**{"predict.return_value": number})


def event(kind: Any, is_set: int) -> Any:
    found = kind()
    if is_set:
        found.set()
    return found


def stream(number: int) -> io.TextIOWrapper:
    text = io.TextIOWrapper(io.BytesIO())
    text.write(f"loss {number}")  # which is not flushed
    return text


def spooled(number: int) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - it is returned
    file.write(bytes([number]))
    return file


def done(number: int) -> concurrent.futures.Future[int]:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.set_result(number)
    return future


def done_in_loop(number: int) -> asyncio.Future[int]:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[int] = loop.create_future()
    future.set_result(number)
    loop.close()
    return future


KEPT = [Plain(), Plain()]
for _number, _kept in enumerate(KEPT):
    with_attribute(_kept, _number)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(member, id="an attribute of a member of an Enum"),
        pytest.param(member_of, id="the value of a member, which can change in place"),
        pytest.param(lambda k: enum.Enum("Made", {"A": 1, "BC"[k]: 2}), id="members of an Enum that a run has made"),
        *(
            pytest.param(functools.partial(made_enum, make, content), id=f"{place} with {kind}")
            for place, make in {
                "a member that a run has made": lambda made: made.A,
                "an Enum that a run has made": lambda made: made,
                "a key that a run has made": lambda made: {made.A: 1},
                "an element that a run has made": lambda made: {made.A},
            }.items()
            for kind, content in {
                "a number": lambda k: k,
                "a text": lambda k: f"seed {k}",
                "an array": lambda k: np.array([k]),
                "a list in a tuple": lambda k: ([k],),
            }.items()
        ),
        pytest.param(lambda k: enum.IntEnum("Made", {"A": k}).A, id="a member that is a number"),
        pytest.param(lambda k: enum.Enum("Made", {"A": [1, True][k]}).A, id="the type of a member's value"),
        pytest.param(made_with_method, id="what a method of an Enum has closed over"),
        pytest.param(lambda k: collections.OrderedDict(list({"a": 1, "b": 2}.items())[:: 1 - 2 * k]), id="order"),
        pytest.param(lambda k: datetime.datetime(2020, 1, 1, tzinfo=Zone(k)), id="an attribute of a zone"),
        pytest.param(
            lambda k: datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo(["Europe/Berlin", "Europe/Paris"][k])),
            id="a zone of the same offset",
        ),
        pytest.param(lambda k: with_key(1, k), id="an attribute whose name is a number"),
        pytest.param(lambda k: with_attribute(HidesItsDict(), k), id="a __dict__ behind a property"),
        pytest.param(lambda k: with_attribute(HidesItsOnlyDict(), k), id="a __dict__ behind a property of its own"),
        pytest.param(lambda k: os.stat_result(range(10), {"st_atime_ns": k}), id="a hidden field of a stat result"),
        pytest.param(lambda k: time.struct_time((2020, *[1] * 8), {"tm_gmtoff": k}), id="a hidden field of a time"),
        pytest.param(lambda k: without_context(bool(k)), id="a suppressed context"),
        pytest.param(lambda k: OSError(2, "x", f"file {k}"), id="the file of an error"),
        pytest.param(lambda k: ImportError("x", name=f"module {k}"), id="the module of an error"),
        pytest.param(lambda k: AttributeError("x", name="y", obj=KEPT[k]), id="the object of an error"),
        pytest.param(called, id="the calls of a mock"),
        pytest.param(told, id="what a mock returns"),
        pytest.param(lambda k: with_attribute(unittest.mock.Mock(), k), id="an attribute of a mock"),
        pytest.param(lambda k: event(threading.Event, k), id="an event"),
        pytest.param(lambda k: event(multiprocessing.Event, k), id="an event between processes"),
        pytest.param(lambda k: threading.Semaphore(k + 1), id="a semaphore"),
        pytest.param(lambda k: logging.LoggerAdapter(logging.getLogger("x"), {"k": k}), id="what an adapter adds"),
        pytest.param(stream, id="the memory behind a stream"),
        pytest.param(spooled, id="a temporary file in memory"),
        pytest.param(lambda k: weakref.WeakSet([KEPT[k]]), id="an element of a weak set"),
        pytest.param(lambda k: functools.lru_cache(maxsize=5 + k)(len), id="the size of a cache"),
        pytest.param(lambda k: Pair(k, 1), id="a structure of C"),
        pytest.param(lambda k: with_attribute(Pair(1, 1), k), id="an attribute of a structure of C"),
        pytest.param(lambda k: multiprocessing.RawArray(Pair, [(k, 1)]), id="structures in shared memory"),
        pytest.param(lambda k: multiprocessing.RawValue(Pair, k, 1), id="a structure in shared memory"),
        pytest.param(lambda k: multiprocessing.Value("i", k), id="a shared number"),
        pytest.param(lambda k: multiprocessing.Array("i", [k]), id="a shared array"),
        pytest.param(done, id="the result of a future"),
        pytest.param(done_in_loop, id="the result of a future of asyncio"),
        pytest.param(lambda k: re.search("b", "abb"[k:]), id="the place of a match"),
        pytest.param(lambda k: property(lambda self: k), id="what a property has closed over"),
        pytest.param(lambda k: types.CellType(k), id="the content of a cell"),
        pytest.param(lambda k: hashlib.sha256(bytes([k])), id="a hash"),
        pytest.param(lambda k: struct.Struct("ib"[k]), id="the format of a struct"),
    ],
)
def test_a_hidden_difference_is_seen(make: Callable[[int], Any]) -> None:
    assert compare_runs(make(0), make(0)).verdict is Verdict.IDENTICAL
    assert compare_runs(make(0), make(1)).verdict is Verdict.DIVERGED
    assert compare_runs({"x": [make(0)]}, {"x": [make(1)]}).verdict is Verdict.DIVERGED


def test_a_member_keeps_its_path_and_a_set_its_names() -> None:
    found = capture_tree({"one": Measure.HOST, "keys": {Measure.HOST: 1}, "set": {Measure.HOST}})
    assert [name for name in found.names if name] == ["one", "keys/Measure.HOST", "set/HOST"]
    assert dict(found.leaves["one"].traits) == {"value": str(os.getpid())}


def test_of_a_member_of_a_library_only_the_name_counts() -> None:
    assert capture_tree({"one": http.HTTPStatus.OK}).leaves["one"].traits == ()


def test_the_order_of_a_plain_dict_and_of_a_counter_has_no_meaning() -> None:
    assert compare_runs({"a": 1, "b": 2}, {"b": 2, "a": 1}).verdict is Verdict.IDENTICAL
    assert compare_runs(collections.Counter("ab"), collections.Counter("ba")).verdict is Verdict.IDENTICAL


def test_the_order_of_many_keys_is_compared() -> None:
    names = [f"layer {i}" for i in range(500)]
    turned = [names[1], names[0], *names[2:]]
    first, second = (collections.OrderedDict.fromkeys(order, 1) for order in (names, turned))
    assert compare_runs(first, second).verdict is Verdict.DIVERGED


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_a_queue_between_processes_is_state_unless_it_is_empty(kind: str) -> None:
    queue = getattr(multiprocessing, kind)()
    assert compare_runs([queue, 1], [queue, 1]).verdict is Verdict.IDENTICAL
    queue.put(1)
    comparison = compare_runs([queue, 1], [queue, 1])
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert comparison.not_compared[0].reason == (
        "reading a queue between processes would empty it; return what you take out"
    )
    assert queue.get() == 1


def test_a_future_that_is_not_done_is_state_that_was_left_out() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    assert compare_runs([future, 1], [future, 1]).verdict is Verdict.INCONCLUSIVE
    future.cancel()
    assert compare_runs([future, 1], [future, 1]).verdict is Verdict.IDENTICAL


def test_a_scan_sees_the_results_of_futures_and_lists_what_queues_hold() -> None:
    queue = multiprocessing.SimpleQueue()
    queue.put(1)
    found = capture_locals({"a": done(1), "b": multiprocessing.Value("i", 3), "c": queue})
    assert found.leaves["a/result"].data == 1
    assert any(name.startswith("b/value") for name in found.leaves)
    assert [entry.name for entry in found.not_compared] == ["c"]


def test_what_was_passed_to_a_mock_need_not_be_comparable() -> None:
    mock = unittest.mock.Mock()
    mock(iter([1]))
    assert compare_runs([mock, 1], [mock, 1]).verdict is Verdict.IDENTICAL


def test_a_closed_file_in_memory_holds_nothing() -> None:
    file = io.BytesIO(b"x")
    file.close()
    assert [entry.reason for entry in compare_runs([file, 1], [file, 1]).not_compared] == [
        "a closed file holds nothing"
    ]
