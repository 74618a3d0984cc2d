"""Digests of live values: equal exactly for equal values, in every process, and without a call to the test's code."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import weakref
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pytest_repro import frameworks
from pytest_repro.capturing import capture_tree, registry
from pytest_repro.capturing.live import LIVE, digest_value, read_attributes, set_user_files
from pytest_repro.frameworks.base_values import Branch, Parts, Reader
from pytest_repro.frameworks.stdlib_values import normalise
from pytest_repro.tracing.describing import describe


def whole(value: object) -> str:
    return digest_value(value).whole


class Text(str):
    def __str__(self) -> str:
        pytest.fail("a method of the test's code was called")


class Count(int):
    def __int__(self) -> int:
        pytest.fail("a method of the test's code was called")

    __index__ = __int__


@pytest.mark.parametrize(
    "one, other",
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("a", b"a"),
        ([1, 2], [2, 1]),
        ([1, 2], (1, 2)),
        ([1, [2]], [[1], 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}),
        (np.zeros(3), np.zeros(3, "f4")),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.arange(4.0), np.arange(4.0)[::-1]),
        (np.ones((3, 4)), np.asfortranarray(np.ones((3, 4)))),
        (np.array(["a", None], object), np.array(["b", None], object)),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (random.Random(0), random.Random(1)),
        (None, 0),
        (["x;<str>y", "z"], ["x", "y;<str>z"]),
        (Text("a"), Text("b")),
        ([Count(1)], [Count(2)]),
    ],
)
def test_different_values_have_different_digests(one: object, other: object):
    assert whole(one) != whole(other)


@pytest.mark.parametrize("position", [0, 8191, 8192, 123_456, 199_999])
def test_one_bit_of_a_large_array_is_seen(position: int):
    array = np.arange(200_000.0)
    before = whole(array)
    array.view("u8")[position] ^= np.uint64(1)
    assert whole(array) != before


def test_two_rows_exchanged_in_a_large_array_are_seen():
    array = np.random.default_rng(0).standard_normal((64, 1024))
    exchanged = array.copy()
    exchanged[[3, 40]] = exchanged[[40, 3]]
    assert whole(array) != whole(exchanged)


def test_a_set_is_digested_in_its_order():
    # Equal as sets, in another order of insertion and iteration.
    one, other = set(), set()
    for number in (8, 16, 0):
        one.add(number)
    for number in (0, 16, 8):
        other.add(number)
    assert list(one) != list(other)
    assert whole(one) != whole(other)


def test_digests_are_equal_in_every_process():
    source = (
        "import numpy as np; from pytest_repro.capturing.live import digest_value as d;"
        "print([d(v).whole for v in ('x', [1.5, 'y'], {'a': np.arange(9)}, np.random.default_rng(3))])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", source],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != ""


class Hostile:
    """Object whose methods all fail the test."""

    def __init__(self) -> None:
        object.__getattribute__(self, "__dict__")["w"] = np.zeros(2)

    def _refuse(self, *args: object) -> object:
        pytest.fail("a method of the test's code was called")

    __hash__ = __eq__ = __repr__ = __str__ = __len__ = __bool__ = __iter__ = _refuse  # type: ignore[assignment]
    __getattr__ = __getattribute__ = __reduce__ = __getstate__ = __array__ = _refuse  # type: ignore[assignment]


class HostileList(list):  # type: ignore[type-arg]
    __len__ = __iter__ = __getitem__ = __eq__ = Hostile._refuse  # type: ignore[assignment]


def test_no_method_of_the_tests_code_is_called():
    one, other = Hostile(), Hostile()
    object.__getattribute__(other, "__dict__")["w"][1] = 1
    assert whole(one) != whole(other)
    assert describe(one) == "Hostile"
    assert whole([one]) != whole([other])
    items = HostileList()
    list.append(items, 1)
    assert whole(items) != whole(HostileList())


def test_the_differing_part_is_named():
    class Model:
        def __init__(self, w: float) -> None:
            self.bias, self.w = 0.0, w

    one, other = digest_value(Model(1.0)), digest_value(Model(2.0))
    assert one.parts["bias"] == other.parts["bias"]
    assert one.parts["w"] != other.parts["w"]


@pytest.mark.parametrize(
    "value", [1, "a", None, 1.5, [1, "b"], (), {3}, np.arange(3.0), np.float32(2), np.array(["a", None])]
)
def test_a_value_has_the_same_digest_as_a_part(value: object):
    assert digest_value({"w": value}).parts["['w']"] == whole(value)


def test_a_container_that_contains_itself_is_read_once():
    items: list[object] = [1]
    items += [items] * 5
    assert whole(items) == whole(items)
    assert digest_value(items).work == 7


def test_a_huge_structure_is_read_in_part():
    assert digest_value([[i] for i in range(200_000)]).work < 50_000


def test_addresses_and_temporary_folders_are_normalised():
    assert normalise(repr(object())) == normalise(repr(object()))
    assert normalise("/x/tmpab12cd34/shard_1") == normalise("/x/tmpzz99yy88/shard_1")
    assert normalise("/x/tmpab12cd34/shard_1") != normalise("/x/tmpab12cd34/shard_2")


def test_a_generators_state_is_not_drawn_from():
    rng, legacy = np.random.default_rng(0), random.Random(0)
    digest_value([rng, legacy])
    assert rng.random() == np.random.default_rng(0).random()
    assert legacy.random() == random.Random(0).random()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a", "b"}, "value"),
        ({1, 2.5, ("a", 1)}, "value"),
        ({object(), object()}, "address"),
        (frozenset({("a", float("nan"))}), "address"),
        ({int, str}, "address"),
        ({len, print}, "address"),
        ({(1, ("a", None))}, "address" if sys.version_info < (3, 12) else "value"),
    ],
)
def test_the_digest_of_a_set_says_how_its_elements_are_hashed(value: object, expected: str) -> None:
    assert digest_value(value).parts["(elements)"].startswith(expected)


def test_a_set_in_another_order_has_the_same_elements_digest() -> None:
    # 8 and 16 have the same place in a small table, and the first one inserted gets it.
    one, other = digest_value({8, 16}), digest_value({16, 8})
    assert list({8, 16}) != list({16, 8})
    assert one.whole != other.whole
    assert one.parts == other.parts
    assert digest_value({8, 24}).parts != one.parts


def test_a_hash_method_that_uses_the_id_hashes_by_address() -> None:
    class Keyed:
        def __hash__(self) -> int:
            return id(self)

    class Named:
        def __hash__(self) -> int:
            return 3

    assert digest_value({Keyed()}).parts["(elements)"].startswith("address")
    assert digest_value({Named()}).parts["(elements)"].startswith("value")


class Equal(type):
    def __eq__(cls, other: object) -> bool:  # and so no hash
        pytest.fail("a method of the test's metaclass was called")


def test_a_class_without_a_hash_is_read() -> None:
    class Plain(metaclass=Equal):
        def __init__(self, x: int) -> None:
            self.x = x

    assert whole(Plain(1)) != whole(Plain(2))
    assert whole([1.5, Plain(1)]) != whole([1.5, Plain(2)])


@pytest.mark.parametrize("slots", [(), ("x",)])
def test_a_class_that_was_digested_can_still_die(slots: tuple[str, ...]) -> None:
    kind = type("Short", (), {"__slots__": slots} if slots else {})
    alive, key = weakref.ref(kind), id(kind)
    assert whole([kind()])
    assert key in LIVE.known
    del kind
    gc.collect()
    assert alive() is None
    assert key not in LIVE.known


def test_attributes_and_slots_of_all_classes_are_read() -> None:
    class Base:
        __slots__ = ("a", "never")

    class Derived(Base):
        def __init__(self) -> None:
            self.a, self.b = 1, 2

    assert sorted(read_attributes(Derived())) == [("a", 1), ("b", 2)]


def test_an_object_of_a_library_is_read_for_its_arrays_alone() -> None:
    class Timed:
        def __init__(self, seconds: float, weight: float) -> None:
            self.seconds, self.weights = seconds, np.array([weight])

    assert whole(Timed(1.0, 1.0)) != whole(Timed(2.0, 1.0))
    set_user_files(lambda file: False)
    try:
        assert whole(Timed(1.0, 1.0)) == whole(Timed(2.0, 1.0))
        assert whole(Timed(1.0, 1.0)) != whole(Timed(1.0, 2.0))
        assert describe(Timed(1.0, 1.0)) == "Timed (read in part)"
    finally:
        set_user_files(None)


def test_an_object_that_cannot_be_read_raises_no_error() -> None:
    broken = np.random.default_rng()
    reader = Reader(lambda value: 1 / 0)  # type: ignore[arg-type, return-value]
    known = LIVE.of(type(broken))
    LIVE.known[id(type(broken))] = known._replace(read=reader.read)
    try:
        assert whole(broken) == whole(broken)
        assert whole([broken]) == whole([broken])
    finally:
        LIVE.known.clear()


def test_one_adapter_serves_captures_and_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    class Grid:
        """Keeps its cells where only its own library finds them."""

        __slots__ = ()

    def cells_of(grid: Any) -> list[tuple[str, Any]]:
        return [("cells", cells[id(grid)])]

    one, other, cells = Grid(), Grid(), dict[int, int]()
    cells[id(one)], cells[id(other)] = 1, 2
    assert whole(one) == whole(other)  # before its library is imported
    adapter = ModuleType("pytest_repro.frameworks.gridlib_values")
    vars(adapter).update(
        HANDLERS={Grid: lambda grid: Branch("Grid", cells_of(grid))},
        READERS={Grid: Reader(lambda grid: Parts(cells_of(grid)))},
    )
    monkeypatch.setitem(sys.modules, adapter.__name__, adapter)
    monkeypatch.setitem(sys.modules, "gridlib", ModuleType("gridlib"))
    monkeypatch.setitem(frameworks.VALUE_ADAPTERS, "gridlib", "gridlib_values")
    registry.refresh()
    assert digest_value(one).parts.keys() == {"cells"}
    assert whole(one) != whole(other)
    assert capture_tree(one).leaves["result/cells"].data == 1


def test_a_framework_that_is_still_being_imported_is_left_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    half = ModuleType("halflib")
    half.__spec__ = type("Spec", (), {"_initializing": True})()
    monkeypatch.setitem(sys.modules, "halflib", half)
    monkeypatch.setitem(frameworks.VALUE_ADAPTERS, "halflib", "no_such_adapter")
    registry.refresh()
    assert "halflib" not in registry._loaded
