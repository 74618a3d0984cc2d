"""The inherited state that a fork must change to be like a fresh process: generators, exit handlers, threads."""

from __future__ import annotations

import atexit
import importlib
import os
import secrets
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_repro.axes.native import Pool, find_pools
from pytest_repro.frameworks.base_state import loaded_adapters

#: Framework -> adapter with `get_threads`, `set_threads`. These ignore the variables of the server's environment.
_THREADED = {"torch": "torch_axes"}
_finalize: Any = weakref.finalize


def renew_randomness() -> None:
    """Draw new states for the generators that every process starts with from the system's entropy.

    Otherwise a test that forgot to seed would be identical in every fork. Some sources draw again by themselves:
    :mod:`tempfile`, which checks the process id, :mod:`uuid`, :mod:`secrets`, unseeded generators made later. A draw
    of a module at its import is the same in every fork, and only a fresh process shows it.
    """
    for adapter in loaded_adapters():
        adapter.seed(secrets.randbits(32))


class ExitHandlers:
    """Keeps the server's exit handlers from running in its forks: its temporary folders are not theirs."""

    def __init__(self) -> None:
        self._set_aside: list[Any] = []
        self._newest: Any = None

    def set_aside(self) -> None:
        """Before a fork, disarm the finalizers of the server: torch has 174, and a fork would copy their pages."""
        registered: dict[Any, Any] = _finalize._registry
        newest = next(reversed(registered), None)
        if newest is self._newest:
            return
        for finalizer in list(registered):
            if finalizer.atexit:
                finalizer.atexit = False
                self._set_aside.append(finalizer)
        self._newest = newest

    def restore(self) -> None:
        """Arm them again, before the server's own exit."""
        for finalizer in self._set_aside:
            finalizer.atexit = True
        self._set_aside.clear()
        self._newest = None

    def forget(self) -> None:
        """Drop all handlers, in the fork."""
        self.set_aside()
        atexit._clear()
        _finalize._registered_with_atexit = False
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            # multiprocessing's own forks do the same.
            util._finalizer_registry.clear()
            util._run_after_forkers()
            atexit.register(util._exit_function)


def run_exit_handlers() -> None:
    """Run the fork's own exit handlers, as an interpreter does at its end."""
    atexit._run_exitfuncs()


class ThreadPools:
    """Gives a fork as many threads as the user's process has (:func:`read_thread_counts`). The server runs on one."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts
        self._pools: list[Pool] = []
        self._adapters: dict[str, Any] = {}

    def find(self) -> None:
        """Find the loaded pools in the server, so that not every fork needs to."""
        self._pools = find_pools()
        self._adapters = _find_adapters()

    def restore(self) -> None:
        """Set every pool, in the fork."""
        for pool in self._pools:
            pool.set_threads(self._counts.get(pool.name, _count_cpus()))
        for framework, adapter in self._adapters.items():
            adapter.set_threads(self._counts.get(framework, _count_cores()))


def read_thread_counts(*, chosen_only: bool = False) -> dict[str, int]:
    """Return the size of every pool of threads that is loaded here.

    `chosen_only` leaves out those of the size that they start with, which is another one on other cores.
    """
    pools = {pool.name: int(pool.get_threads()) for pool in find_pools()}
    frameworks = {framework: int(adapter.get_threads()) for framework, adapter in _find_adapters().items()}
    if chosen_only:
        pools = {name: count for name, count in pools.items() if count != _count_cpus()}
        frameworks = {name: count for name, count in frameworks.items() if count != _count_cores()}
    return pools | frameworks


def _find_adapters() -> dict[str, Any]:
    return {
        framework: importlib.import_module(f"pytest_repro.frameworks.{module}")
        for framework, module in _THREADED.items()
        if framework in sys.modules
    }


def _count_cpus() -> int:
    """Return the number of threads with which OpenMP and OpenBLAS start."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))


def _count_cores() -> int:
    """Return the number of threads with which torch starts: MKL counts each core once."""
    if os.environ.get("OMP_NUM_THREADS"):
        return _count_cpus()
    cores = set()
    for cpu in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add((topology / "physical_package_id").read_text() + (topology / "core_id").read_text())
        except OSError:
            return _count_cpus()
    return len(cores)
