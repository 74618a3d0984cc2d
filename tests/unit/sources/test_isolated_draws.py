"""Draws at one line that leave all generators as they were."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.sources.pins import patched_sources

SOURCE = """
class Holder:
    def __init__(self, rng):
        self.rng = rng

def run(draw, holder, rng):
    draw(
        holder, rng)
    return draw(holder, rng)
"""


def run(folder: Path, draw: Any, rng: Any, *lines: int) -> Any:
    path = folder / "users.py"
    path.write_text(SOURCE)
    names: dict[str, Any] = {}
    exec(compile(SOURCE, str(path), "exec"), names)
    with patched_sources([f"isolated@{path}:{line}" for line in lines]):
        return names["run"](draw, names["Holder"](rng), rng)


@pytest.mark.parametrize(
    ("draw", "make"),
    [
        (lambda holder, rng: random.random(), lambda: random.seed(1)),
        (lambda holder, rng: float(np.random.rand()), lambda: np.random.seed(1)),
        (lambda holder, rng: rng.random(), lambda: random.Random(1)),
        (lambda holder, rng: rng.random(), lambda: np.random.default_rng(1)),
        (lambda holder, rng: holder.rng.rand(), lambda: np.random.RandomState(1)),
    ],
)
def test_the_draw_after_the_line_is_what_it_would_be_without_it(tmp_path: Path, draw: Any, make: Any) -> None:
    plain = run(tmp_path, draw, make())
    rng = make()
    alone = draw(type("Holder", (), {"rng": rng}), rng)
    assert run(tmp_path, draw, make(), 7) == alone != plain
    assert run(tmp_path, draw, make(), 3) == plain
    assert sys.gettrace() is None or "isolated_draws" not in repr(sys.gettrace())


def test_a_generator_without_a_state_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path, lambda holder, rng: rng.randint(1, 6) >= 1, random.SystemRandom(), 7) is True
