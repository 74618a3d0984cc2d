"""Threads of numerical libraries, pinned to one."""

from __future__ import annotations

import pytest

from pytest_repro.sources.pins import patched_sources


def test_numba_keeps_one_thread_whatever_the_code_asks_for_and_gets_its_own_back() -> None:
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has only one thread here")
    numba.set_num_threads(2)
    with patched_sources(["threads"]):
        numba.set_num_threads(2)
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == 2
    numba.set_num_threads(1)
    try:
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # torch's are the same
