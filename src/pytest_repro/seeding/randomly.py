"""pytest-randomly's reseeding, made harmless: the target of its entry point ``pytest_randomly.random_seeder``.

pytest-randomly (5.1) calls it last, after `random`, NumPy and the generators of faker, factory-boy, model-bakery and
polyfactory, at the session's start, after collection, and before each test's setup, call and teardown.
"""

from __future__ import annotations

from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding.seeds import SEED_LIMIT, active_seed, seed_everything


def reseed(seed: int) -> None:
    """Undo the reseeding within a run, and outside of one give torch the seed that the others got.

    Undone is what came before a phase began: a run seeds once before its setup and once before the test's body, and
    nothing is drawn between that and pytest-randomly's call.

    Parameters
    ----------
    seed : int
        pytest-randomly's, of any size and sign: ``--randomly-seed`` plus an offset for the test's phase.
    """
    active = active_seed()
    if active is not None:
        seed_everything(active)
        return
    for adapter in loaded_adapters("torch"):
        adapter.seed(seed % SEED_LIMIT)
