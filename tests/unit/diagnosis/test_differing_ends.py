"""The place of a difference in how two runs ended: what the statement read that an exception left in one of them."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from pytest_repro.diagnosis.investigation import Case, Investigation
from pytest_repro.diagnosis.needed_parts import Compared
from pytest_repro.diagnosis.observing import Search
from pytest_repro.errors import OutOfTimeError
from pytest_repro.model import Artifacts, Condition, Diagnosis, RunResult, TestResult, Verdict
from pytest_repro.session.budget import Budget
from pytest_repro.sources.base import Observation
from tests.unit.diagnosis.helpers import Runs, finding_of
from tests.unit.diagnosis.test_trace_flow import HEAD, right_line

#: `source()` is 0.2 in one run and 0.8 in the other. `noise()` and `draw()` differ too, and decide nothing.
ENDS = {
    "a variable that an assertion reads": """
        def run():
            label = noise()
            x = source()  # here
            assert x > 0.5, label
    """,
    "a call in an assertion": """
        def metric():
            stamp = draw()
            score = source()  # here
            return score

        def run():
            assert metric() > 0.5
    """,
    "a condition above a raise in a helper": """
        def check(batch, label):
            if sum(batch) < 1:
                raise ValueError(label)

        def run():
            label = noise()
            batch = [source(), 0.5]  # here
            check(batch, label)
            return 1
    """,
    "an argument of a function that raises": """
        import math

        def run():
            other = draw()
            x = source() - 0.5  # here
            y = math.sqrt(x)
            return y + other
    """,
    "the end of the other run, where the first one raises": """
        def run():
            label = noise()
            x = 1 - source()  # here
            assert x > 0.5, label
    """,
    "an error that is caught and comes before the one that is not": """
        def risky(value):
            if value > 0.5:
                raise KeyError(value)

        def run():
            try:
                risky(draw())
            except KeyError:
                pass
            x = source()  # here
            assert x > 0.5
    """,
    "the iteration that raises": """
        def run():
            limit = source()  # here
            for i in range(5):
                label = noise()
                if i > 5 * limit:
                    raise RuntimeError(label)
    """,
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS)
def test_the_place_is_what_decides_whether_a_run_raises(runs: Runs, program: str):
    source = HEAD + textwrap.dedent(program)
    first = runs.first(source, (0.8, 0.2), compared=Compared(function="run", is_ending=True), may_raise=True)
    assert (first.line, first.flows) == (right_line(source), True), first


def test_a_statement_that_raises_in_one_run_and_reads_no_variable_is_the_place(runs: Runs):
    source = HEAD + "def run():\n    label = noise()\n    assert source() > 0.5  # here\n"
    first = runs.first(source, (0.8, 0.2), compared=Compared(function="run", is_ending=True), may_raise=True)
    assert (first.line, first.name) == (right_line(source), "(raised)")


def test_the_place_of_a_returned_value_is_not_where_an_error_was_caught(runs: Runs):
    source = HEAD + textwrap.dedent("""
        def run():
            try:
                assert draw() > 0.5
            except AssertionError:
                pass
            x = source()  # here
            return x
    """)
    assert runs.first(source).line == right_line(source)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sys.monitoring reports exceptions itself")
def test_a_function_that_returns_none_has_not_raised(runs: Runs):
    found = runs.compare(HEAD + "def run():\n    def nothing(): pass\n    nothing()\n    x = source()\n")
    assert found.first is None or found.first.name != "(raised)"


def identity(condition):
    return condition


class Coin:
    """A prober whose runs end as listed, the ones without the axis and the ones with it in turn, as time allows."""

    def __init__(self, endings):
        self._endings = iter(endings)

    def observe(self, *_, **__):
        if (ending := next(self._endings, None)) is None:
            raise OutOfTimeError
        return Observation(Artifacts(), ending=ending)

    def differ(self, one, other):
        return one.ending != other.ending

    def make_trace_path(self):
        return Path("no trace")


def investigation_of(endings, folder):
    """Return an investigation of a run that failed along an axis, where run 1 passed."""
    run = RunResult(2, Condition((("file_order", 1),)), "failed")
    result = TestResult("test_it.py::test_it", Verdict.DIVERGED, 1, diagnosis=Diagnosis())
    ends, arguments = ("p", "f"), ({}, {})
    case = Case(
        result, run, ends, "in_process", Condition(), run.condition, identity, arguments, folder, budget=Budget()
    )
    return Investigation(case, Coin(endings))


@pytest.mark.parametrize(
    ("endings", "is_blamed"),
    [("pfpfpf", True), ("fpfpfp", False), ("pfpfpp", False), ("ppfpfp", False), ("pfffpf", False)],
)
def test_an_axis_is_blamed_only_if_runs_with_and_without_it_end_as_the_planned_ones_did(endings, is_blamed, tmp_path):
    investigation = investigation_of(endings, tmp_path)
    investigation._blame_axis(investigation.case.run)
    assert investigation.result.blamed == ({2: ["file_order"]} if is_blamed else {})


def test_a_budget_that_ends_before_an_axis_is_blamed_is_noted(tmp_path):
    investigation = investigation_of("pfp", tmp_path)
    investigation.run()
    assert investigation.result.blamed == {}
    assert not investigation.diagnosis.complete
    assert investigation.result.notes[0].startswith("the diagnosis stopped after")


def test_a_budget_that_ends_once_the_cause_is_found_is_noted_as_such(tmp_path):
    investigation = investigation_of("", tmp_path)
    investigation.facts.search = Search(findings=[finding_of("pid")], ruled_out=["entropy"])
    investigation._note_budget()
    assert investigation.result.notes[0].endswith(", when the cause was already found")


def test_that_watching_hid_the_difference_is_noted_once_by_the_last_watched_runs(tmp_path):
    investigation = investigation_of("p" * 100, tmp_path)
    search = Search(where="between")
    assert investigation._locate(search) is None
    assert investigation.result.notes == []
    investigation._watch_search(search, is_last=True)
    (note,) = investigation.result.notes
    assert "watching hid the difference" in note
