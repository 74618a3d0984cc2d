"""The place in the report follows what a test compares: returned and captured values, and local variables of a scan."""

from __future__ import annotations

import textwrap

import pytest

from tests.plugin.faults import Program

SOURCE = """
import random
import uuid

import pytest


def make_label():
    return str(uuid.uuid4())  # a label: nothing depends on it


def fit(folder):
    folder.joinpath("log.txt").write_text("start")
    rng = random.Random()  # in fit
    return rng.random()


@pytest.mark.reproducible
def test_returned(tmp_path):
    return {"w": fit(tmp_path)}


@pytest.mark.reproducible
def test_captured(repro):
    label = make_label()
    x = random.Random().random()  # in test_captured
    repro.capture("x", x)


def test_scanned(tmp_path):
    label = make_label()
    x = fit(tmp_path)
"""


@pytest.fixture(scope="module", params=[(), ("--repro-isolate",)], ids=["in_process", "isolated"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("places")
    (folder / "test_it.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return Program(folder, "--repro-all", "--repro-diagnose", *request.param).finish()


@pytest.mark.parametrize(
    ("test", "place"),
    [("test_returned", "# in fit"), ("test_captured", "# in test_captured"), ("test_scanned", "# in fit")],
)
def test_the_place_is_the_line_on_which_the_compared_value_depends(session: Program, test: str, place: str):
    first = session.test(test)["diagnosis"]["first_divergence"]
    line = next(number for number, text in enumerate(SOURCE.splitlines(), 1) if text.endswith(place))
    assert (first["file"], first["line"]) == ("test_it.py", line)
    assert f"where   test_it.py:{line} in" in session.text
