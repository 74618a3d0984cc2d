"""Capture of Python's own values."""

from __future__ import annotations

import datetime as dt
import random
import zoneinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import Case, assert_captures, differing


class Colour(Enum):
    RED = 1
    BLUE = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Name(StrEnum):
    ONE = "one"
    TWO = "two"


class Mode(Flag):
    READ = 1
    WRITE = 2


class Loss(float):
    def __float__(self) -> float:
        raise ZeroDivisionError


class Text(str):
    def __str__(self) -> str:
        raise ZeroDivisionError


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
PAIRS: list[tuple[Any, Any]] = [
    (True, False),
    (1, 2),
    (2**80, 2**80 + 1),
    (1 << 20_000, (1 << 20_000) + 1),
    (0.1, np.nextafter(0.1, 1).item()),
    (0.0, -0.0),
    (1 + 0j, complex(1, -0.0)),
    ("a", "b"),
    ("\ud800", "\ud801"),
    (b"a", b"b"),
    (bytearray(b"a"), bytearray(b"b")),
    (None, 0),
    (Colour.RED, Colour.BLUE),
    (Level.LOW, Level.HIGH),
    (Level.LOW, 1),
    (Name.ONE, Name.TWO),
    (Name.ONE, "one"),
    (Mode.READ, Mode.READ | Mode.WRITE),
    (Mode(0), Mode.READ),
    (Path("a"), Path("b")),
    (PurePosixPath("a"), Path("a")),
    (dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
    (dt.datetime(2020, 1, 1), dt.date(2020, 1, 1)),
    (dt.datetime(2020, 1, 1, tzinfo=BERLIN), dt.datetime(2020, 1, 1)),
    (dt.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN), dt.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)),
    (dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 5)),
    (dt.timedelta(microseconds=1), dt.timedelta(microseconds=2)),
    (dt.UTC, dt.timezone(dt.timedelta(hours=1))),
    (Decimal("1.0"), Decimal("1.00")),
    (Fraction(1, 3), Fraction(1, 2)),
    (UUID(int=1), UUID(int=2)),
    (range(3), range(4)),
    (slice(1, 2), slice(1, 2, 1)),
    (SimpleNamespace(x=1), SimpleNamespace(x=2)),
    (Loss(1.0), Loss(2.0)),
    (Loss(1.0), 1.0),
    (Text("a"), Text("b")),
]


@pytest.mark.parametrize("one, other", PAIRS, ids=lambda value: type(value).__name__)
def test_different_values_are_captured_differently(one: Any, other: Any) -> None:
    assert differing(capture_tree(one), capture_tree(one)) == []
    assert differing(capture_tree(one), capture_tree(other)) != []


def test_a_value_leaf_holds_a_plain_value() -> None:
    for value in (Loss(1.5), Text("x"), Level.LOW, Path("p"), Decimal(1), np.str_("s")):
        assert type(capture_tree(value).leaves["result"].data) in (float, str, int)


def test_a_mutable_buffer_is_copied() -> None:
    assert_captures(Case(lambda: bytearray(b"abc"), lambda b: b.__setitem__(0, 0)), "result")


def test_a_list_that_grows_afterwards_is_not_seen() -> None:
    assert_captures(Case(lambda: [1, [2]], lambda v: v[1].append(3)), "result/1/1")


def test_a_generator_is_captured_by_its_state() -> None:
    case = Case(lambda: random.Random(3), lambda rng: rng.random() and None)
    assert_captures(case, "result/state")
    assert_captures(Case(lambda: random.Random(3), lambda rng: rng.gauss(0, 1) and None))


def test_the_systems_generator_is_rejected() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"'result' \(a random.SystemRandom\): .*use random.Random\(seed\)"):
        capture_tree(random.SystemRandom())


def test_a_time_in_a_zone_without_a_text_has_no_address() -> None:
    class Zone(dt.tzinfo):
        def utcoffset(self, when: Any) -> dt.timedelta:
            return dt.timedelta(hours=1)

        def tzname(self, when: Any) -> str:
            return "here"

        def dst(self, when: Any) -> None:
            return None

    one, other = (capture_tree(dt.datetime(2020, 1, 1, tzinfo=Zone())) for _ in range(2))
    assert differing(one, other) == []
