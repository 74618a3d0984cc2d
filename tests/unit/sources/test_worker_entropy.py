"""Draws of forked workers, numbered within each task."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from tests.unit.sources.helpers import DRAWING

FORKED = """
    import multiprocessing, os
    from pytest_repro.sources.pins import patched_sources

    def twice():
        first = [once() for _ in range(2)]
        return [first, once()]

    def work(task):
        return {"once": once, "until": until_it_suits, "twice": twice}[task]()

    def in_workers(function, tasks):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return pool.map(function, tasks, chunksize=1)

    def in_fork():
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, repr([os.urandom(2), os.urandom(2)]).encode())
            os._exit(0)
        os.wait()
        return os.read(read, 100).decode()

    with patched_sources(["workers"]):
        found = {
            "once": in_workers(work, ["once"] * 3),
            "until": in_workers(work, ["once", "until", "until"])[1:],
            "twice": in_workers(work, ["twice"]),
            "library": in_workers(secrets.randbelow, [2**40 + 1] * 20),
            "fork": [in_fork(), in_fork()],
        }
    import json
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    # A file, since code given by -c is in no file; an interpreter of its own, since xdist has threads in this one.
    path = tmp_path_factory.mktemp("forked") / "train.py"
    path.write_text(DRAWING + textwrap.dedent(FORKED))
    ended = subprocess.run([sys.executable, str(path)], capture_output=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


needs_forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks here")


@needs_forks
def test_each_task_of_a_forked_worker_draws_the_same(forked: dict[str, Any]) -> None:
    assert len(set(forked["once"])) == 1


@needs_forks
def test_a_task_that_draws_until_a_number_suits_it_ends(forked: dict[str, Any]) -> None:
    first, second = forked["until"]
    assert first == second
    assert len(set(first)) == len(first)


@needs_forks
def test_draws_of_one_task_differ_as_they_would(forked: dict[str, Any]) -> None:
    (([first, second], third),) = forked["twice"]
    assert len({first, second, third}) == 3


@needs_forks
def test_a_task_that_is_a_librarys_function_ends(forked: dict[str, Any]) -> None:
    assert len(forked["library"]) == 20


@needs_forks
def test_draws_of_a_plain_fork_differ_from_each_other_and_repeat_in_each_fork(
    forked: dict[str, Any],
) -> None:
    first, second = forked["fork"]
    assert first == second
    assert len(set(first.strip("[]").split(", "))) == 2
