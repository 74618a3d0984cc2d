"""Runs that differ in how they end are diagnosed as those that differ in a value are."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.plugin.faults import Program
from tests.plugin.helpers import Sessions

#: The first run always passes. Later runs end by chance or by state.
SOURCE = """
import random

import numpy as np
import pytest


def score():
    label = random.Random().random()
    return np.random.default_rng().random()  # entropy


@pytest.mark.reproducible(runs=60)
def test_asserts(repro):
    passes = repro.run == 1
    assert passes or score() > 0.5


def check(batch):
    if max(batch) > 0.5:
        raise ValueError("too large")


@pytest.mark.reproducible(runs=60)
def test_raises(repro):
    passes = repro.run == 1
    batch = [0.0 if passes else random.SystemRandom().random()]  # system
    check(batch)
    return 1


seen = []


@pytest.mark.reproducible
def test_leaks():
    seen.append(1)  # state
    assert len(seen) < 2


def test_scanned(repro):
    passes = repro.run == 1
    if not passes and random.SystemRandom().random() > 0.5:  # skip
        pytest.skip("no luck")


@pytest.mark.reproducible(runs=2)
def test_fails_in_each_run():
    assert score() > 2
"""
#: Test -> its cause, and the mark of its place.
CAUSES = {
    "test_asserts": ("rng.os_entropy", "# entropy"),
    "test_raises": ("rng.os_entropy", "# system"),
    "test_leaks": ("state.module_global", "# state"),
    "test_scanned": ("rng.os_entropy", "# skip"),
}


@pytest.fixture(scope="module", params=[(), ("--repro-isolate",)], ids=["in_process", "isolated"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("ends")
    (folder / "test_it.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    options = ["--repro-all", "--repro-runs=60", "--deselect=test_it.py::test_leaks"]
    return Program(folder, *(options if request.param else options[:2]), "--repro-diagnose", *request.param).finish()


@pytest.mark.parametrize("test", CAUSES)
def test_runs_that_end_in_another_way_get_a_cause_and_a_place(session: Program, test: str):
    if "--repro-isolate" in session.process.args and test == "test_leaks":
        pytest.skip("state does not leak from fork to fork")
    found = session.test(test)["diagnosis"]
    code, mark = CAUSES[test]
    line = next(number for number, text in enumerate(SOURCE.splitlines(), 1) if text.endswith(mark))
    assert [cause["code"] for cause in found["causes"]] == [code], session.text
    first = found["first_divergence"]
    assert (first["file"], first["line"]) == ("test_it.py", line), first
    assert session.test(test)["verdict"] == ("diverged" if test == "test_scanned" else "error")


def test_the_message_says_that_ends_were_compared(session: Program):
    text = " ".join(session.text.split())
    assert "runs ended alike; without," in text
    assert "were identical; without" not in text


def test_a_test_that_fails_in_its_first_run_is_not_diagnosed(session: Program):
    assert session.test("test_fails_in_each_run")["diagnosis"] is None


def first_word(hash_seed: int) -> str:
    """Return the first of a set of words in an interpreter with a hash seed."""
    command = [sys.executable, "-c", f"print(next(iter({WORDS})))"]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


WORDS = {"eggs", "ham", "salt", "spam"}


def test_an_axis_that_decides_how_runs_end_is_blamed(sessions: Sessions):
    first = first_word(1)
    other = next(seed for seed in range(2, 50) if first_word(seed) != first)
    program = f"""
        import pytest

        @pytest.mark.reproducible(across={{"hash_seed": [1, {other}]}})
        def test_it():
            words = {WORDS}
            assert next(iter(words)) == "{first}"
    """
    session = sessions.run(program, "--repro-diagnose")
    (test,) = (session.report or {})["tests"]
    assert [cause["code"] for cause in test["diagnosis"]["causes"]] == ["hash.str_hashseed"], session.text
