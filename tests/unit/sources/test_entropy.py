"""Entropy of the operating system, of this process and of forked workers."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import secrets
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import numpy as np
import pytest

from pytest_repro.sources.base import Evidence, Observation
from pytest_repro.sources.entropy import FROM_COMPILED_CODE, Entropy
from pytest_repro.sources.pins import patched_sources
from tests.unit.sources.helpers import begin_repetition, recorded

KINDS = ["default_rng", "seed_sequence", "random", "secrets", "uuid4", "urandom"]


def draw(kind):
    if kind == "default_rng":
        return np.random.default_rng().random()
    if kind == "seed_sequence":
        return np.random.SeedSequence().entropy
    if kind == "random":
        return random.Random().random()
    if kind == "secrets":
        return secrets.randbelow(10**12)
    if kind == "uuid4":
        return uuid.uuid4().hex
    return os.urandom(8)


def run(kind, pins):
    begin_repetition()
    with patched_sources(pins):
        return [draw(kind) for _ in range(3)]


@pytest.mark.parametrize("kind", KINDS)
def test_pinned_entropy_repeats_from_run_to_run_and_still_differs_from_draw_to_draw(kind):
    first, second = run(kind, ["entropy"]), run(kind, ["entropy"])
    assert first == second
    assert len(set(first)) == 3
    assert run(kind, []) != run(kind, [])


WORKERS = """
    import json, multiprocessing
    from pytest_repro.sources.pins import patched_sources
    from tests.unit.sources.test_entropy import draw

    def last_in_worker(kind, number):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return str(pool.map(draw, [kind] * number)[-1])

    found = {}
    for kind in %r:
        with patched_sources(["workers"]):
            pinned = [last_in_worker(kind, 1), last_in_worker(kind, 3)]
            here = [str(draw(kind)), str(draw(kind))]
        with patched_sources(["workers", "entropy@/elsewhere.py:1"]):
            pinned.append(last_in_worker(kind, 1))
        with patched_sources(["entropy"]):
            found[kind] = [pinned, here, [last_in_worker(kind, 1), last_in_worker(kind, 1)]]
    print(json.dumps(found))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks here")
def test_entropy_of_forked_workers_is_pinned_apart_from_that_of_this_process():
    # In an interpreter of its own: xdist has threads in this one, and a fork of them may never end.
    command = [sys.executable, "-c", textwrap.dedent(WORKERS) % KINDS]
    ended = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=True, timeout=120)
    found = json.loads(ended.stdout)
    assert set(found) == set(KINDS)
    for pinned, here, not_pinned in found.values():
        assert len(set(pinned)) == 1
        assert len(set(here)) == len(set(not_pinned)) == 2


def test_entropy_drawn_elsewhere_does_not_shift_the_draws_of_a_line():
    def at_this_line():
        return np.random.default_rng().random()

    begin_repetition()
    with patched_sources(["entropy"]):
        alone = at_this_line()
    begin_repetition()
    with patched_sources(["entropy"]):
        os.urandom(4)
        after = at_this_line()
    assert alone == after


USERS = """
import random
from random import seed
import numpy as np
import numba

@numba.njit
def compiled(n):
    random.seed(3)
    np.random.seed(4)
    return random.random() + np.random.random() + np.sort(np.arange(n)[::-1])[0]

@numba.njit
def by_its_own_name():
    seed(3)
    return random.random()

def run():
    random.seed()
    np.random.seed(None)
    np.random.default_rng(5)
    return compiled(3), by_its_own_name()
"""


def test_numba_compiles_the_real_call_and_a_call_from_python_is_noted(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    path = tmp_path / "users_numba.py"
    path.write_text(USERS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_numba", raising=False)
    module = importlib.import_module("users_numba")
    with recorded() as seen, patched_sources():
        watched = module.run()
    assert module.run() == watched
    found = {(entry["kind"], entry["detail"].partition(" ")[0]) for entry in seen.to_json()}
    assert {("reseed", "random.seed()"), ("seeding", "numpy.random.default_rng")} <= found


def test_a_compiled_function_is_compiled_while_sources_are_patched():
    numba = pytest.importorskip("numba")

    @numba.njit
    def order(x):
        random.seed(3)
        np.random.seed(3)
        return np.argsort(x)[0] + random.random() * 0 + np.random.random() * 0

    with patched_sources(["entropy"]):
        assert order(np.array([2.0, 1.0])) == 1


@pytest.mark.parametrize(
    ("kind", "detail", "code"),
    [
        ("entropy", "os.urandom", "rng.os_entropy"),
        ("entropy", FROM_COMPILED_CODE, "rng.foreign_state"),
        ("reseed", "random.seed()", "rng.reseeded_from_entropy"),
    ],
)
def test_the_cause_is_named_by_the_generator_that_drew(kind, detail, code):
    nothing = Observation(artifacts=None)
    sightings = [{"kind": kind, "detail": detail, "file": "a.py", "line": 3}]
    assert Entropy().name_code(Evidence((nothing, nothing), sightings)) == code
