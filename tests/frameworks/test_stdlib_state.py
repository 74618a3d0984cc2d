"""The generator of `random`, and the decimal context."""

from __future__ import annotations

import decimal
import random

from pytest_repro import seeding


def test_the_cached_normal_draw_is_restored_too() -> None:
    random.seed(1)
    expected = [random.gauss() for _ in range(4)]
    random.seed(1)
    actual = [random.gauss()]  # computes two and caches one
    with seeding.seeded(3):
        random.gauss()
    assert [*actual, *(random.gauss() for _ in range(3))] == expected


def test_a_decimal_context_left_changed_is_reported_and_restored() -> None:
    state = seeding.save_state()
    decimal.getcontext().prec = 3
    assert seeding.restore_state(state) == ["python decimal context was left at prec=3; restored to prec=28"]
    assert decimal.getcontext().prec == 28
