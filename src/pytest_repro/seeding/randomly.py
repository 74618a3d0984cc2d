"""Target of the entry point ``pytest_randomly.random_seeder``, which undoes pytest-randomly's reseeding within a run.

pytest-randomly (5.1) calls it last, after `random`, NumPy and the generators of faker, factory-boy, model-bakery and
polyfactory, at the session's start, after collection, and before each test's setup, call and teardown.
"""

from __future__ import annotations

from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding.seeds import SEED_LIMIT, active_seed, seed_everything


def reseed(seed: int) -> None:
    """Restore the active run's seed, or outside of a run seed torch like pytest-randomly's other generators.

    pytest-randomly seeds before the test's body too, whatever the fixtures have seeded or drawn. Within a run its seed
    is replaced by the run's, so that a random order of the tests changes no result.

    Parameters
    ----------
    seed : int
        pytest-randomly's seed, of any size and sign: ``--randomly-seed`` plus an offset for the test's phase.
    """
    active = active_seed()
    if active is not None:
        seed_everything(active)
        return
    for adapter in loaded_adapters("torch"):
        adapter.seed(seed % SEED_LIMIT)
