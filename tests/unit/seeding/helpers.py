"""Helpers: code run in a new interpreter, where imports can be tested, and the check that draws follow the seed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

from pytest_repro import seeding


def assert_follows_seed(draw: Callable[[], object]) -> None:
    """Check that draws are equal for equal seeds, and different for different seeds."""
    with seeding.seeded(3):
        first = draw()
    with seeding.seeded(3):
        assert draw() == first
    with seeding.seeded(4):
        assert draw() != first


def run_python(code: str, **environ: str) -> str:
    """Run code in a new interpreter, and return its output without surrounding white space."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
