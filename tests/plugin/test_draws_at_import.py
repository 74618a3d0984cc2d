"""What a module draws when it is imported gets a cause and the module's line, although all forks share it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.plugin.faults import Program

MODULE = """
import uuid

import numpy as np

RUN = uuid.uuid4().hex  # a decoy
WEIGHTS = np.random.default_rng().normal(size=3)  # entropy
WORDS = {"alpha", "beta", "gamma", "delta", "epsilon"}  # hash
INDEX = {word: number for number, word in enumerate(WORDS)}
"""
SOURCE = """
import pytest
import made
from made import INDEX


@pytest.mark.reproducible(across={"process": 2})
def test_entropy():
    return {"w": made.WEIGHTS * 2}


@pytest.mark.reproducible(across={"hash_seed": [1, 2, 3]})
def test_hash():
    return {"index": sorted(INDEX, key=INDEX.get)}
"""
CODES = {"entropy": "rng.os_entropy", "hash": "hash.str_hashseed"}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("imports")
    (folder / "made.py").write_text(textwrap.dedent(MODULE), encoding="utf-8")
    (folder / "test_it.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return Program(folder, "--repro-diagnose", "--repro-diagnose-budget=120").finish(280)


@pytest.mark.parametrize("name", CODES)
def test_a_draw_at_import_is_named_with_the_modules_line(session: Program, name: str):
    line = next(number for number, text in enumerate(MODULE.splitlines(), 1) if text.endswith(f"# {name}"))
    found = session.test(f"test_{name}")["diagnosis"]
    assert [cause["code"] for cause in found["causes"]] == [CODES[name]], session.text
    places = [found["first_divergence"], found["causes"][0]["location"]]
    assert [(Path(place["file"]).name, place["line"]) for place in places] == [("made.py", line)] * 2


def test_the_fix_says_that_the_line_runs_at_import(session: Program):
    [cause] = session.test("test_entropy")["diagnosis"]["causes"]
    assert "when the module is imported" in cause["evidence"]
    assert "in a function or a fixture" in cause["fix"]
