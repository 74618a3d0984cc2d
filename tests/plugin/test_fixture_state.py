"""Fixtures that outlive a test and whose values the test changes: named with their scope and the line of the change."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.plugin.faults import Program

CONFTEST = """
    import itertools
    import numpy as np
    import pytest

    @pytest.fixture(scope="session")
    def rng():
        return np.random.default_rng(3)

    @pytest.fixture(scope="session")
    def numbers():
        return itertools.count(5)
"""
FAULTS = """
    import numpy as np
    import pytest

    class Model:
        def __init__(self, weights):
            self.weights, self.steps = weights, []

    @pytest.fixture(scope="session")
    def weights():
        return np.zeros(3)

    @pytest.fixture(scope="module")
    def model(weights):
        return Model(weights)

    @pytest.fixture(scope="module")
    def table():
        TABLE["a"] = [1.0]
        return TABLE

    @pytest.fixture
    def batch(rng):
        return rng.normal(size=4)

    TABLE = {}

    def update(values, by):
        values += 0.0
        values += by

    @pytest.mark.reproducible
    def test_array(repro, weights):
        weights = weights.reshape(3)
        update(weights, repro.rng.normal(size=3))
        return weights.copy()

    @pytest.mark.reproducible
    def test_object(model):
        model.steps.append(1)
        return len(model.steps)

    @pytest.mark.reproducible
    def test_generator(batch):
        return batch * 2

    @pytest.mark.reproducible
    def test_iterator(numbers):
        return next(numbers)

    @pytest.mark.reproducible
    def test_data_of_the_module(table):
        table["a"].append(2.0)
        return sum(table["a"])

    class TestClass:
        @classmethod
        def setup_class(cls):
            cls.total = [0.0]

        @pytest.mark.reproducible
        def test_attribute(self):
            self.total[0] += 1.0
            return self.total[0]

    @pytest.mark.reproducible
    def test_innocent(model, rng, numbers, table):
        return model.weights * 2
"""


def write(folders: pytest.TempPathFactory) -> Path:
    folder = folders.mktemp("fixtures")
    (folder / "conftest.py").write_text(textwrap.dedent(CONFTEST), encoding="utf-8")
    (folder / "test_it.py").write_text(textwrap.dedent(FAULTS), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """One session with all faults, for all tests here."""
    folder = write(tmp_path_factory)
    return Program(folder, "--repro-diagnose").finish()


@pytest.mark.parametrize(
    ("name", "fixture", "scope", "line"),
    [
        ("test_array", "weights", "session", "values += by"),
        ("test_object", "model", "module", "model.steps.append(1)"),
        ("test_generator", "rng", "session", "return rng.normal(size=4)"),
        ("test_iterator", "numbers", "session", "return next(numbers)"),
    ],
)
def test_the_fixture_is_named_with_its_scope_and_the_line_of_the_change(
    session: Program, name: str, fixture: str, scope: str, line: str
) -> None:
    (cause,) = session.test(name)["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("state.fixture", "state")
    assert f"fixture `{fixture}` (scope={scope}) restored before each run" in cause["evidence"]
    assert cause["fix"] == f"make fixture `{fixture}` function-scoped, or copy its value before changing it"
    assert cause["location"]["source"] == line


def test_data_of_a_module_is_named_as_such_although_a_fixture_returns_it(session: Program) -> None:
    (cause,) = session.test("test_data_of_the_module")["diagnosis"]["causes"]
    assert cause["code"] == "state.mutated_data"
    assert "test_it.TABLE restored" in cause["evidence"]


def test_an_attribute_that_the_setup_of_a_class_makes_is_named(session: Program) -> None:
    (cause,) = session.test("TestClass::test_attribute")["diagnosis"]["causes"]
    assert cause["code"] == "state.mutated_data"
    assert "test_it.TestClass.total restored" in cause["evidence"]


def test_fixtures_that_a_test_only_reads_are_not_accused(session: Program) -> None:
    assert session.test("test_innocent")["verdict"] == "identical"


def test_in_processes_of_their_own_runs_share_no_fixture(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write(tmp_path_factory)
    session = Program(folder, "--repro-isolate").finish()
    assert {session.test(name)["verdict"] for name in ("test_array", "test_object", "test_generator")} == {"identical"}
