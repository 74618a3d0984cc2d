"""pytest-randomly's reseeding, made harmless: the target of its entry point ``pytest_randomly.random_seeder``.

pytest-randomly (5.1) calls it last, after `random`, NumPy and the generators of faker, factory-boy, model-bakery and
polyfactory, at the session's start, after collection, and before each test's setup, call and teardown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding.seeds import SEED_LIMIT, seed_everything
from pytest_repro.seeding.state import State, active_seed, restore_state, save_state

_held: list[State] = []


def reseed(seed: int) -> None:
    """Undo the reseeding within a run, and outside of one give torch the seed that the others got.

    Parameters
    ----------
    seed : int
        pytest-randomly's, of any size and sign: ``--randomly-seed`` plus an offset for the test's phase.
    """
    active = active_seed()
    if _held:
        restore_state(_held[-1], flags=False)
    elif active is not None:
        seed_everything(active)
    else:
        for adapter in loaded_adapters("torch"):
            adapter.seed(seed % SEED_LIMIT)


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """Keep the generators where they are now, whatever pytest-randomly does: open it around each phase of a run.

    Without it a run's stream would start anew with its call, and so differ from the same run without pytest-randomly.
    """
    _held.append(save_state())
    try:
        yield
    finally:
        _held.pop()
