"""numba functions of libraries are compiled only once for the runs of a diagnosis."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

LIBRARY = """
import threading

import numba

LOCK = threading.Lock()


@numba.njit
def double(x):
    return x * 2


@numba.njit
def add(x, y):
    return double(x) + double(y)


def make(unused):
    @numba.njit
    def inner(x):
        return x + 1

    inner.py_func.__kwdefaults__ = {"lock": unused}
    return inner
"""
OWN = """
import math

import numba
import numpy as np
from numpy import sqrt

import mine as this

SCALE, TABLE = 1, np.ones(3)


@numba.njit
def own(x):
    return x - SCALE


@numba.njit
def plain(x):
    return math.sin(x) + sqrt(np.abs(float(x))) + sum([y for y in range(3)])


@numba.njit
def calls_plain(x):
    return plain(x) + 1


@numba.njit
def calls_own(x):
    return own(x) + 1


@numba.njit
def of_table(x):
    return x + TABLE[0]


@numba.njit
def of_own_module(x):
    return x + this.SCALE


@numba.njit
def calls_itself(x):
    return 1 if x < 1 else calls_itself(x - 1) + 1


def make(y):
    @numba.njit
    def inner(x):
        return x + y

    return inner
"""
USE = """
import json, sys
from pytest_repro.frameworks.numba_compiled import keep_compiled

keep_compiled(sys.argv[1], lambda file: file.endswith("library.py"))
import numba
from numba.core import config

import library, mine

found = [library.add(3, 4), library.add(1.5, 2.0), mine.own(3)]
if "change" in sys.argv:
    found.append(library.make(library.LOCK)(3))
    names = {"numba": numba}
    exec(compile("nowhere = numba.njit(lambda x: x + 5)", "/nowhere/library.py", "exec"), names)
    found.append(names["nowhere"](3))
print(json.dumps({
    "found": found,
    "hits": sum(library.add.stats.cache_hits.values()) + sum(library.double.stats.cache_hits.values()),
    "misses": sum(library.add.stats.cache_misses.values()),
    "own": type(mine.own._cache).__name__,
    "folder": config.CACHE_DIR,
}))
"""


@pytest.fixture
def use(tmp_path: Path):
    (tmp_path / "library.py").write_text(LIBRARY)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "use.py").write_text(USE)

    def run(*arguments: str) -> dict:
        command = [sys.executable, "use.py", str(tmp_path / "kept"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_second_process_reuses_the_compiled_functions_of_libraries_only(use, tmp_path) -> None:
    first, second = use(), use()
    assert first["found"] == second["found"] == [14, 7.0, 2]
    assert first["misses"] == 2
    assert first["hits"] == 0
    assert second["misses"] == 0
    assert second["hits"] >= 2
    # numba's own setting applies to functions that request a cache.
    assert first["own"] == "NullCache"
    assert str(tmp_path) not in str(first["folder"])


def test_a_library_that_changed_is_compiled_again(use, tmp_path) -> None:
    use()
    text = LIBRARY.replace("x * 2", "x * 3 + 0")
    (tmp_path / "library.py").write_text(text)
    assert use()["found"] == [21, 10.5, 2]


def test_functions_that_cannot_be_cached_are_compiled_each_time(use, tmp_path) -> None:
    (tmp_path / "kept").write_text("no folder")
    assert [use("change")["found"] for _ in range(2)] == [[14, 7.0, 2, 4, 8]] * 2
    assert not list(tmp_path.rglob("*.nbi"))


def test_only_user_functions_that_refer_to_no_value_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_repro.frameworks.numba_compiled import refers_to_no_value

    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = importlib.import_module("mine")
    monkeypatch.delitem(sys.modules, "mine")
    functions = {name: value for name, value in vars(mine).items() if hasattr(value, "py_func")} | {
        "made": mine.make(3)
    }
    kept = {
        name: refers_to_no_value(function.py_func, lambda file: not file.startswith(str(tmp_path)))
        for name, function in functions.items()
    }
    assert kept == {
        "own": False,
        "plain": True,
        "calls_plain": True,
        "calls_own": False,
        "of_table": False,
        "of_own_module": False,
        "calls_itself": True,
        "made": False,
    }
