"""What the plugin's fixtures do; also in tests that are run once, by pytest itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_repro import seeding
from pytest_repro.engines.current import CurrentRun, Repro
from pytest_repro.session.protocol import PROTOCOL_KEY
from pytest_repro.session.settings import read_session_settings, read_test_settings


def make_repro(request: pytest.FixtureRequest) -> Repro:
    """Return the handle to the run in progress; in an ordinary test, to a run that is compared with nothing."""
    protocol = request.node.stash.get(PROTOCOL_KEY, None)
    if protocol is None:
        return Repro(CurrentRun(1, test_seed(request)))
    handle = protocol.repro = Repro(protocol.current)
    return handle


@contextmanager
def seeded_for(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seed every generator with the test's seed for the length of the test."""
    seed = test_seed(request)
    with seeding.seeded(seed):
        yield seed


def test_seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of the test that asks."""
    protocol = request.node.stash.get(PROTOCOL_KEY, None)
    if protocol is not None:
        return int(protocol.current.seed)
    return read_test_settings(request.node, read_session_settings(request.config)).seed


test_seed.__test__ = False  # type: ignore[attr-defined]
