"""A run without pytest, whose artifacts a test looks at."""

from __future__ import annotations

from pytest_repro.engines.current import CurrentRun, Repro
from pytest_repro.seeding import seed_everything


def begin(seed: int = 7) -> tuple[Repro, CurrentRun]:
    """Seed everything, as before a run, and return what the fixture gives and what it captures."""
    seed_everything(seed)
    run = CurrentRun(1, seed)
    return Repro(run), run
