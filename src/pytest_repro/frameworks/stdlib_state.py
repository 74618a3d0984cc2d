"""The standard library's global generator and decimal context."""

from __future__ import annotations

import decimal
import random
from typing import Any

from pytest_repro.frameworks.base_state import Flag, Request
from pytest_repro.frameworks.twister import has_only_drawn


def seed(seed: int) -> None:
    """Seed the functions of :mod:`random`."""
    random.seed(seed)


def save_rng() -> Any:
    """Return the state of the functions of :mod:`random`."""
    return random.getstate()


def restore_rng(saved: Any) -> None:
    """Restore a state that :func:`save_rng` returned."""
    random.setstate(saved)


def is_reseeded(seed: int) -> bool:
    """Return whether something else has seeded :mod:`random` since it was seeded with `seed`."""
    return not has_only_drawn(random.Random(seed).getstate()[1][:-1], random.getstate()[1][:-1])


def _write_context(saved: dict[str, Any]) -> None:
    context = decimal.getcontext()
    context.prec, context.rounding = saved["prec"], saved["rounding"]


FLAGS = (
    Flag(
        "python.decimal_context",
        lambda: {"prec": decimal.getcontext().prec, "rounding": decimal.getcontext().rounding},
        _write_context,
    ),
)


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request nothing, because the standard library has no such setting."""
    return []
