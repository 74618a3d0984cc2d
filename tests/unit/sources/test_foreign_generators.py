from __future__ import annotations

import ctypes
import sqlite3
import sys
import types

import pytest

from pytest_repro.sources.foreign_generators import seed_foreign_generators


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is asked for by name")
def test_the_generator_of_c_restarts() -> None:
    libc = ctypes.CDLL(None)
    seed_foreign_generators()
    first = [libc.rand() for _ in range(5)]
    assert [libc.rand() for _ in range(5)] != first
    seed_foreign_generators()
    assert [libc.rand() for _ in range(5)] == first


@pytest.mark.skipif(sys.platform != "linux", reason="SQLite's library is asked for by name")
def test_the_generator_of_sqlite_restarts() -> None:
    try:
        ctypes.CDLL("libsqlite3.so.0")
    except OSError:
        pytest.skip("Python was built with a SQLite of its own")
    database = sqlite3.connect(":memory:")

    def draw() -> list[int]:
        seed_foreign_generators()
        return [database.execute("select random()").fetchone()[0] for _ in range(4)]

    first = draw()
    assert len(set(first)) == 4
    assert draw() == first


def test_a_library_that_takes_a_seed_is_given_one_and_may_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setitem(sys.modules, "polars", types.SimpleNamespace(set_random_seed=given.append))
    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(set_seed=lambda seed: 1 / 0))
    seed_foreign_generators()
    assert given == [1]


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is asked for by name")
@pytest.mark.parametrize(("name", "kind"), [("random", ctypes.c_long), ("drand48", ctypes.c_double)])
def test_other_generators_of_c_are_seeded_too(name, kind):
    draw = getattr(ctypes.CDLL(None), name)
    draw.restype = kind
    seed_foreign_generators()
    first = [draw() for _ in range(5)]
    assert [draw() for _ in range(5)] != first
    seed_foreign_generators()
    assert [draw() for _ in range(5)] == first
