"""Which servers a session has: when one starts, when one ends, and when a fresh interpreter makes a run instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_repro.engines import fork_servers
from pytest_repro.engines.fork_client import ForkServerError, MissingTestError
from pytest_repro.engines.fork_servers import IDLE_TESTS, MAX_FAILURES, MAX_SERVERS, MIN_SERVERS, ForkServers
from pytest_repro.model import Condition


class Client:
    """A server that only notes what it is told."""

    def __init__(self, needed: Condition) -> None:
        self.needed = needed
        self.has_ended = False
        self.preloaded: list[Path] = []

    def preload(self, modules: Path) -> None:
        self.preloaded.append(modules)

    def close(self) -> None:
        self.has_ended = True


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    monkeypatch.setattr(fork_servers, "read_free_kib", lambda: 10**9)
    make: Any = Client
    return ForkServers(make)


def seed(number: int) -> Condition:
    return Condition((("hash_seed", number),))


def test_each_condition_has_one_server(servers: Any) -> None:
    zero, one = servers.find(seed(0), recurs=True), servers.find(seed(1), recurs=True)
    assert zero is servers.find(seed(0), recurs=False)
    assert (zero.needed, one.needed) == (seed(0), seed(1))


def test_equal_values_of_another_type_are_other_conditions(servers: Any) -> None:
    flags = [Condition((("env", {"A": text}),)) for text in ("1", "2")]
    assert servers.find(flags[0], recurs=True) is not servers.find(flags[1], recurs=True)


def test_a_server_for_one_run_starts_with_the_second_request(servers: Any) -> None:
    assert servers.find(seed(0), recurs=False) is None
    assert servers.find(seed(0), recurs=False) is not None


def test_the_server_without_a_condition_always_exists(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_servers, "read_free_kib", lambda: 1)
    assert servers.find(Condition(), recurs=False) is not None
    assert servers.find(seed(0), recurs=True) is None


def test_where_the_system_does_not_say_what_is_free_a_server_starts(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_servers, "read_free_kib", lambda: None)
    assert servers.find(seed(0), recurs=True) is not None


def test_one_server_too_many_is_not_started_while_the_others_are_in_use(servers: Any) -> None:
    servers.find(Condition(), recurs=True)
    assert all(servers.find(seed(number), recurs=True) for number in range(MAX_SERVERS))
    assert servers.find(seed(MAX_SERVERS), recurs=True) is None


def test_the_least_recently_used_server_is_ended_once_it_has_been_idle(servers: Any) -> None:
    clients = [servers.find(seed(number), recurs=True) for number in range(MAX_SERVERS)]
    for _ in range(IDLE_TESTS):
        servers.begin_test()
        for number in range(MAX_SERVERS):
            if number != 3:
                servers.find(seed(number), recurs=True)
    assert servers.find(seed(MAX_SERVERS), recurs=True) is not None
    assert [client.has_ended for client in clients] == [number == 3 for number in range(MAX_SERVERS)]


@pytest.mark.parametrize("workers, most", [("1", MAX_SERVERS), ("2", MAX_SERVERS // 2), ("16", MIN_SERVERS)])
def test_workers_share_the_bound(servers: Any, monkeypatch: pytest.MonkeyPatch, workers: str, most: int) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
    started = [servers.find(seed(number), recurs=True) is not None for number in range(2 * MAX_SERVERS)]
    assert started.count(True) == most


def test_a_server_that_starts_later_imports_all_that_was_learnt(servers: Any) -> None:
    early = servers.find(seed(0), recurs=True)
    servers.learn(Path("a"))
    servers.learn(Path("b"))
    late = servers.find(seed(1), recurs=True)
    assert early.preloaded == late.preloaded == [Path("a"), Path("b")]


def test_a_server_that_has_ended_is_given_up(servers: Any) -> None:
    client = servers.find(seed(0), recurs=True)
    client.has_ended = True
    servers.note_failure(seed(0), ForkServerError("it ended"))
    assert servers.find(seed(0), recurs=True) is None
    assert servers.find(seed(1), recurs=True) is not None


def test_a_server_in_which_several_tests_fail_is_given_up(servers: Any) -> None:
    client = servers.find(seed(0), recurs=True)
    for _ in range(MAX_FAILURES):
        assert servers.find(seed(0), recurs=True) is client
        servers.note_failure(seed(0), ForkServerError("a standstill"))
    assert servers.find(seed(0), recurs=True) is None
    assert client.has_ended


def test_tests_that_a_server_lacks_do_not_count_against_it(servers: Any) -> None:
    client = servers.find(seed(0), recurs=True)
    for _ in range(2 * MAX_FAILURES):
        servers.note_failure(seed(0), MissingTestError("not collected"))
    assert servers.find(seed(0), recurs=True) is client


def test_servers_that_were_closed_start_again(servers: Any) -> None:
    client = servers.find(seed(0), recurs=True)
    servers.close()
    assert client.has_ended
    assert servers.find(seed(0), recurs=True) is not client
