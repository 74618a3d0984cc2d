"""The implementation of the plugin's fixtures, also for tests that pytest itself runs once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_repro import seeding
from pytest_repro.engines.current import HOLDER_KEY, CurrentRun, Repro
from pytest_repro.session.settings import read_session_settings, read_test_settings


def make_repro(request: pytest.FixtureRequest) -> Repro:
    """Return the handle of the run in progress. In an ordinary test that run is compared with nothing."""
    holder = request.node.stash.get(HOLDER_KEY, None)
    return holder.make_repro() if holder is not None else Repro(CurrentRun(1, find_seed(request)))


@contextmanager
def seeded_for(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seed every generator with the test's seed for the length of the test."""
    seed = find_seed(request)
    with seeding.seeded(seed):
        yield seed


def find_seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of the requesting test."""
    holder = request.node.stash.get(HOLDER_KEY, None)
    if holder is not None:
        return int(holder.run.seed)
    return read_test_settings(request.node, read_session_settings(request.config)).seed
