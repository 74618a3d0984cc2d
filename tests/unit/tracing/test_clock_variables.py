"""Variables that hold nothing but readings of the clock are found, and none that could hold a result is."""

from __future__ import annotations

import datetime
import random
import time
import unittest
from collections.abc import Callable
from time import perf_counter as clock

import pytest

from pytest_repro.tracing.clock_variables import DURATION, READING, find_clock_variables

# The functions below are read, not called.
# ruff: noqa: F841


def use(*_: object) -> float:
    return 0.0


def durations() -> None:
    t0 = time.perf_counter()
    total = sum(range(1000))
    elapsed = time.perf_counter() - t0
    milliseconds = elapsed * 1000
    assert elapsed < 1
    print(f"{milliseconds:.1f} ms")


def containers() -> None:
    times: list[float] = []
    spent = {}
    for i in range(3):
        start = clock()
        times.append(clock() - start)
        spent[i] = time.monotonic()
    best = min(times)
    worst = max(times)
    assert worst >= 0


def moments() -> None:
    begin = datetime.datetime.now()
    took = (datetime.datetime.now() - begin).total_seconds()
    today = datetime.date.today()


class Case(unittest.TestCase):
    def calls(self) -> None:
        t0 = time.time()
        self.assertRaises(ValueError, use, t0)  # noqa: PT027

    def test_it(self) -> None:
        t0 = time.time()
        elapsed = round(time.time() - t0, 3)
        self.assertLess(abs(elapsed), 60)  # noqa: PT009


def sums() -> None:
    from time import monotonic

    spent = 0.0
    for _ in range(3):
        t0 = monotonic()
        spent += monotonic() - t0


@pytest.mark.parametrize(
    "function, expected",
    [
        (durations, {"t0": READING, "elapsed": DURATION, "milliseconds": DURATION}),
        (moments, {"begin": READING, "took": DURATION, "today": READING}),
        (Case.test_it, {"t0": READING, "elapsed": DURATION}),
        (sums, {"spent": DURATION, "t0": READING}),
        (
            containers,
            {"times": DURATION, "start": READING, "spent": READING, "best": DURATION, "worst": DURATION},
        ),
    ],
)
def test_readings_and_durations_are_found(function: Callable[[], None], expected: dict[str, str]) -> None:
    assert find_clock_variables(function) == expected


def seeds() -> None:
    seed = int(time.time())
    now = time.time()
    rng = random.Random(now)


def chooses() -> None:
    elapsed = clock() - clock()
    fast = elapsed < 1
    if elapsed > 1:
        use()


def is_handed_on() -> None:
    t0 = clock()
    assert use(t0) == 0
    t1 = clock()
    assert use(at=[t1]) == 0
    t2 = clock()
    use(t2)
    t3 = datetime.datetime.now()
    assert t3.strftime("%c")
    t4 = clock()
    print(t4, file=use(t4))  # type: ignore[call-overload]
    t5 = clock()
    kept = [t5]
    t6 = clock()
    assert (kept := t6)


def ends_by_the_clock() -> None:
    t0 = clock()
    while clock() - t0 < 1:
        use()


def is_bound_to_more() -> None:
    t0 = clock()
    t0 = use()
    t1, t2 = clock(), clock()
    for t3 in [1.0]:
        t3 = clock()
    with open("x") as t4:  # noqa: PTH123
        t4 = clock()
    t5 = 1.5
    t5 = clock()
    t6 = 0.0


def is_an_argument(t0: float) -> None:
    t0 = clock()


def is_changed_elsewhere() -> None:
    t0 = clock()

    def change() -> None:
        nonlocal t0
        t0 = use()


def is_computed_from() -> None:
    noise = use() - clock()
    scaled = (clock() - clock()) * use()
    digits = clock() % 1e-3
    mixed = [clock()]
    mixed.append(use())
    (best,) = [min(mixed)]
    sorted_ = []
    sorted_.append(clock())
    sorted_.sort()


def has_another_clock() -> None:
    from unittest.mock import patch

    with patch("time.time", random.random):
        now = time.time()


def hides_the_name() -> None:
    time = random
    now = time.time()


@pytest.mark.parametrize(
    "function",
    [
        seeds,
        chooses,
        is_handed_on,
        Case.calls,
        ends_by_the_clock,
        is_bound_to_more,
        is_an_argument,
        is_changed_elsewhere,
        is_computed_from,
        has_another_clock,
        hides_the_name,
    ],
)
def test_what_could_be_a_result_or_decide_one_is_not_a_reading(function: Callable[..., None]) -> None:
    assert find_clock_variables(function) == {}


def test_a_clock_that_an_enclosing_function_names_is_known_once_it_is_bound() -> None:
    def test_it() -> None:
        now = read()

    assert find_clock_variables(test_it) == {}
    read = time.time
    assert find_clock_variables(test_it) == {"now": READING}


def test_what_has_no_source_has_no_such_variables() -> None:
    assert find_clock_variables(len) == {}
    made: dict[str, object] = {}
    exec("import time\ndef made():\n    t0 = time.time()\n", made)
    assert find_clock_variables(made["made"]) == {}
