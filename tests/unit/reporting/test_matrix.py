"""The reproducibility matrix as text."""

from __future__ import annotations

from typing import Any

from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedTest
from pytest_repro.reporting.matrix import matrix_lines


def entry(name: str, **cells: Any) -> ReportedTest:
    """Return a test with these cells."""
    return ReportedTest(f"tests/t.py::{name}", Verdict.IDENTICAL, 0, matrix=cells)


def test_a_test_without_axes_has_no_row() -> None:
    assert matrix_lines([entry("a")]) == []
    lines = matrix_lines([entry("a"), entry("b", threads="identical")])
    assert [line.split() for line in lines] == [["threads"], ["t.py::b", "same"]]


def test_each_cell_is_a_word_and_a_missing_axis_is_a_dash() -> None:
    cells = ["identical", "within_tolerance", "diverged", "unstable", "not_isolated", "not_varied", "not_available"]
    lines = matrix_lines(
        [entry("a", **{f"axis{i}": c for i, c in enumerate(cells)}), entry("b", axis0="identical")], width=400
    )
    words = "same close DIFFERS UNSTABLE DIFFERS? not varied n/a"
    assert " ".join(lines[1].split()) == f"t.py::a {words}"
    assert lines[2].split() == ["t.py::b", "same", *"------"]
    legend = lines[3:]
    assert [line.partition(":")[0] for line in legend] == ["UNSTABLE", "DIFFERS?", "not varied", "n/a"]


def test_no_line_is_wider_than_the_terminal_and_no_axis_is_lost() -> None:
    axes = {f"axis_number_{i}": "identical" for i in range(12)}
    lines = matrix_lines([entry("test_" + "x" * 200, **axes)], width=80)
    assert max(map(len, lines)) <= 80
    assert all(any(axis in line.split() for line in lines) for axis in axes)


def test_a_test_that_ran_twice_has_two_rows() -> None:
    twice = [entry("a", threads="identical"), entry("a", threads="diverged")]
    assert len(matrix_lines(twice)) == 3
