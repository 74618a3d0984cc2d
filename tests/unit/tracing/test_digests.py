"""Equal values give equal digests in every process, other values others, and nothing of the user's is called."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from pytest_repro.tracing.describing import describe
from pytest_repro.tracing.digests import digest_value
from pytest_repro.tracing.parts import normalise


def whole(value: object) -> str:
    return digest_value(value).whole


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
    ],
)
def test_values_that_differ_have_other_digests(one: object, other: object):
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
    # Equal as sets; which comes first hangs on what was inserted first.
    one, other = set(), set()
    for number in (8, 16, 0):
        one.add(number)
    for number in (0, 16, 8):
        other.add(number)
    assert list(one) != list(other)
    assert whole(one) != whole(other)


def test_digests_agree_between_processes():
    source = (
        "import numpy as np; from pytest_repro.tracing.digests import digest_value as d;"
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
    """Anything that is asked of it fails the test."""

    def __init__(self) -> None:
        object.__getattribute__(self, "__dict__")["w"] = np.zeros(2)

    def _refuse(self, *args: object) -> object:
        pytest.fail("a method of the user's was called")

    __hash__ = __eq__ = __repr__ = __str__ = __len__ = __bool__ = __iter__ = _refuse  # type: ignore[assignment]
    __getattr__ = __getattribute__ = __reduce__ = __getstate__ = __array__ = _refuse  # type: ignore[assignment]


class HostileList(list):  # type: ignore[type-arg]
    __len__ = __iter__ = __getitem__ = __eq__ = Hostile._refuse  # type: ignore[assignment]


def test_nothing_of_the_users_is_called():
    one, other = Hostile(), Hostile()
    object.__getattribute__(other, "__dict__")["w"][1] = 1
    assert whole(one) != whole(other)
    assert describe(one) == "Hostile"
    assert whole([one]) != whole([other])
    items = HostileList()
    list.append(items, 1)
    assert whole(items) != whole(HostileList())


def test_the_part_that_differs_is_named():
    class Model:
        def __init__(self, w: float) -> None:
            self.bias, self.w = 0.0, w

    one, other = digest_value(Model(1.0)), digest_value(Model(2.0))
    assert one.parts["bias"] == other.parts["bias"]
    assert one.parts["w"] != other.parts["w"]


def test_what_contains_itself_has_an_end():
    items: list[object] = [1]
    items.append(items)
    assert whole(items) == whole(items)


def test_a_huge_structure_is_read_in_part():
    assert digest_value([[i] for i in range(200_000)]).work < 50_000


def test_addresses_and_random_folders_are_no_difference():
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
def test_a_set_tells_how_its_elements_are_hashed(value: object, expected: str) -> None:
    assert digest_value(value).parts["(elements)"].startswith(expected)


def test_a_set_in_another_order_differs_and_its_elements_do_not() -> None:
    # 8 and 16 fall into one place of a small table: the first to come has it.
    one, other = digest_value({8, 16}), digest_value({16, 8})
    assert list({8, 16}) != list({16, 8})
    assert one.whole != other.whole
    assert one.parts == other.parts
    assert digest_value({8, 24}).parts != one.parts


def test_a_hash_by_id_of_the_users_own_is_one_by_address() -> None:
    class Keyed:
        def __hash__(self) -> int:
            return id(self)

    class Named:
        def __hash__(self) -> int:
            return 3

    assert digest_value({Keyed()}).parts["(elements)"].startswith("address")
    assert digest_value({Named()}).parts["(elements)"].startswith("value")
