"""Programs as strangers write them: other lines reach the same source, and nothing that is compared depends on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.faults import Program

HELPERS = """
import random
import time
import uuid

import numpy as np


def tag():
    return uuid.uuid4().hex


def make_rng(seed=None):
    return np.random.default_rng(seed)  # helper


class Sampler:
    def __init__(self, n, seed=None):
        self.n = n
        self.tag = tag()
        self.rng = random.Random(seed)  # iterator

    def __iter__(self):
        order = list(range(self.n))
        self.rng.shuffle(order)
        yield from order


def bootstrap(x, n, rng):
    for _ in range(n):
        yield x[rng.integers(0, len(x), len(x))].mean()


def timed(function):
    def wrapped(*args):
        started = time.perf_counter()  # duration
        result = function(*args)
        wrapped.seconds = time.perf_counter() - started  # duration
        return result
    return wrapped
"""
SOURCE = """
import os
import random
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field

import numpy as np
import pytest
from helpers import Sampler, bootstrap, make_rng, tag, timed

CONFIG = {"seed": None}
pytestmark = pytest.mark.reproducible


def test_helper():
    label = tag()
    return {"w": make_rng(CONFIG["seed"]).normal(size=4)}


def test_iterator():
    return {"order": [i for i in Sampler(10)]}


def test_generator():
    label = uuid.uuid4().hex
    rng = np.random.default_rng()  # generator
    return {"ci": np.percentile(list(bootstrap(np.arange(9.0), 5, rng)), [5, 95])}


@dataclass
class Trial:
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    seed: int = field(default_factory=lambda: int.from_bytes(os.urandom(4), "little"))  # factory


def test_factory():
    return {"w": np.random.default_rng(Trial().seed).normal(size=2)}


def test_closure():
    unused = random.SystemRandom().random()

    def augment():
        rng = random.Random()  # closure
        return lambda x: x * rng.uniform(0.9, 1.1)

    return {"x": [augment()(value) for value in (1.0, 2.0)]}


def test_keywords():
    options = {"name": uuid.uuid4().hex, "seed": uuid.uuid4().int % 2**32}  # keywords

    def build(name, seed):
        return np.random.default_rng(seed).integers(0, 100, 3)

    return {"k": build(**options)}


def test_started():
    unused = random.Random().random()
    code = "import random; print(random.Random().random())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # started
    return {"x": float(done.stdout)}


def test_clock():
    began = time.time()
    rng = np.random.default_rng(int(time.time() * 1e6))  # clock
    return {"w": rng.random(3)}


def test_duration():
    @timed
    def fit():
        return sum(range(100))

    return {"result": fit(), "seconds": fit.seconds}


@pytest.mark.reproducible(runs=60)
def test_assertion(repro):
    label = tag()
    score = 1.0 if repro.run == 1 else np.random.default_rng().random()  # assertion
    assert score > 0.4, label
"""
CODES = {"clock": "time.seed", "duration": "time.duration"}
TESTS = (
    "helper",
    "iterator",
    "generator",
    "factory",
    "closure",
    "keywords",
    "started",
    "clock",
    "duration",
    "assertion",
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("decoys")
    (folder / "helpers.py").write_text(HELPERS, encoding="utf-8")
    (folder / "test_it.py").write_text(SOURCE, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return Program(folder, "--repro-diagnose").finish(280)


@pytest.mark.parametrize("name", TESTS)
def test_the_cause_is_at_the_line_on_which_the_result_depends(session: Program, name: str):
    lines = {
        (file, number)
        for file, text in (("helpers.py", HELPERS), ("test_it.py", SOURCE))
        for number, line in enumerate(text.splitlines(), 1)
        if line.endswith(f"# {name}")
    }
    found = session.test(f"test_{name}")["diagnosis"]
    assert [cause["code"] for cause in found["causes"]] == [CODES.get(name, "rng.os_entropy")], session.text
    place = found["causes"][0]["location"]
    assert (Path(place["file"]).name, place["line"]) in lines


def test_the_evidence_says_that_one_line_was_enough(session: Program):
    [cause] = session.test("test_factory")["diagnosis"]["causes"]
    assert "pinned at this line alone" in cause["evidence"]
