"""The process id, as the user's code reads it."""

from __future__ import annotations

import multiprocessing
import os
import tempfile

from pytest_repro.sources.pins import patched_sources
from pytest_repro.sources.process_id import PINNED_PID
from tests.unit.sources.helpers import recorded


def test_the_process_id_is_pinned_for_the_users_code():
    with patched_sources(["pid"]):
        assert os.getpid() == PINNED_PID
    assert os.getpid() != PINNED_PID


def test_it_is_pinned_where_multiprocessing_returns_it_and_not_where_a_fork_is_detected():
    with recorded() as seen, patched_sources(["pid"]):
        assert multiprocessing.current_process().ident == PINNED_PID
        assert tempfile._RandomNameSequence().rng is not None
    (entry,) = [entry for entry in seen.to_json() if entry["kind"] == "pid"]
    assert entry["function"].startswith("test_it_is_pinned")
    assert multiprocessing.current_process().ident == os.getpid()
