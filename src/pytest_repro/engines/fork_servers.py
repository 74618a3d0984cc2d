"""The fork servers of a session: one for each condition for which an interpreter must be started.

A server is started for a condition that recurs. Where it would be one too many, or is needed for one run only, that run
is made by a fresh interpreter instead.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_repro.axes.spec import canonical
from pytest_repro.engines.fork_client import ForkServerClient, MissingTestError
from pytest_repro.model import Condition
from pytest_repro.model.free_memory import read_free_kib

#: Bound on the servers of a session that live at the same time, in addition to the one without a condition. xdist's
#: workers share it, but each has as many as `hash_seed` has values by default.
MAX_SERVERS, MIN_SERVERS = 8, 4
#: A server that so many tests have not used may be ended in favour of another one.
IDLE_TESTS = 10
#: Share of the free memory that one more server may take.
MEMORY_SHARE = 0.5
#: So many tests may fail in a server before it is given up.
MAX_FAILURES = 2


@dataclass(slots=True)
class _Server:
    """A server, the number of the test that used it last, and the number of the tests that failed in it."""

    client: ForkServerClient
    used_at: int
    failures: int = 0


class ForkServers:
    """Finds the server for a condition, and starts and ends servers as needed. May be used by several threads.

    Parameters
    ----------
    make : callable (Condition) -> ForkServerClient
        Makes a server, which starts with its first run.
    """

    def __init__(self, make: Callable[[Condition], ForkServerClient]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}
        self._learnt: list[Path] = []
        self._requested: set[str] = set()
        self._given_up: set[str] = set()
        self._tests = 0

    def begin_test(self) -> None:
        """Note that the runs of another test follow."""
        self._tests += 1

    def find(self, needed: Condition, *, recurs: bool) -> ForkServerClient | None:
        """Return the server for a condition, or None if a fresh interpreter is to make the run.

        Parameters
        ----------
        needed : Condition
            What the server's interpreter must be started for. Nothing if empty: that server always exists.
        recurs : bool
            Whether further runs will need the same server. Otherwise it is started with the second request.
        """
        key = _key(needed)
        with self._lock:
            server = self._servers.get(key)
            if server is None or server.client.has_ended:
                is_first = key not in self._requested
                self._requested.add(key)
                if needed.values and (key in self._given_up or (is_first and not recurs) or not self._make_room()):
                    return None
                server = self._servers[key] = _Server(self._make(needed), self._tests)
                for path in self._learnt:
                    server.client.preload(path)
            server.used_at = self._tests
            return server.client

    def learn(self, modules: Path) -> None:
        """Have every server import the modules of a list, also those that start later."""
        with self._lock:
            self._learnt.append(modules)
            clients = [server.client for server in self._servers.values()]
        for client in clients:
            client.preload(modules)

    def note_failure(self, needed: Condition, error: Exception) -> None:
        """Give up the server for a condition if it has ended, or if it has failed for several tests."""
        key = _key(needed)
        with self._lock:
            server = self._servers.get(key)
            if server is None or not needed.values or isinstance(error, MissingTestError):
                return
            server.failures += 1
            if server.failures < MAX_FAILURES and not server.client.has_ended:
                return
            self._given_up.add(key)
            del self._servers[key]
        server.client.close()

    @property
    def has_series(self) -> bool:
        """Whether a server has a fork that runs a series."""
        return any(server.client.has_series for server in list(self._servers.values()))

    def end_series(self) -> None:
        """End the forks that run series. The next test gets new ones."""
        for server in list(self._servers.values()):
            server.client.end_series()

    def end_runs(self) -> None:
        """End every fork in progress."""
        for server in list(self._servers.values()):
            server.client.end_runs()

    def close(self) -> None:
        """End every server. Those that are needed later start again."""
        with self._lock:
            clients = [server.client for server in self._servers.values()]
            self._servers.clear()
        for client in clients:
            client.close()

    def _make_room(self) -> bool:
        """Return whether another server may start, after ending one that has long not been used if that is needed."""
        if not _has_memory():
            return False
        servers = [(server.used_at, key) for key, server in self._servers.items() if key != _key(Condition())]
        if len(servers) < max(MIN_SERVERS, MAX_SERVERS // _count_workers()):
            return True
        used_at, key = min(servers)
        if self._tests - used_at < IDLE_TESTS:
            return False
        self._servers.pop(key).client.close()
        return True


def _key(needed: Condition) -> str:
    return canonical(needed.as_dict())


def _count_workers() -> int:
    """Return the number of sessions that share this machine's memory."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _has_memory() -> bool:
    """Return whether a process as large as this one, which has imported the same modules, fits into the free memory."""
    own_kib, free_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, read_free_kib()
    return free_kib is None or own_kib * _count_workers() <= MEMORY_SHARE * free_kib
