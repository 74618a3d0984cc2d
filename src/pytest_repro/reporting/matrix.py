"""The reproducibility matrix: a row per test, a column per axis, the verdict in the cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_repro.model.reported import MatrixCell, ReportedTest
from pytest_repro.model.text import escape

#: Cell, or None where the test does not have the axis -> its words. Words, not colours, carry the meaning.
CELLS: dict[MatrixCell | None, str] = {
    None: "-",
    "identical": "same",
    "within_tolerance": "close",
    "diverged": "DIFFERS",
    "unstable": "UNSTABLE",
    "not_isolated": "DIFFERS?",
    "not_judged": "unjudged",
    "not_varied": "not varied",
    "not_available": "n/a",
}
_LEGEND: dict[MatrixCell, str] = {
    "unstable": "UNSTABLE: a plain repeat differs already, so no axis is to blame",
    "not_isolated": "DIFFERS?: differs when varied together with others; the axis to blame could not be isolated",
    "not_judged": "unjudged: differs, and no float64 run could show whether rounding alone explains it",
    "not_varied": "not varied: nothing that the axis controls changed, so an equal result says nothing about it",
    "not_available": "n/a: this machine cannot vary it",
}


@dataclass(frozen=True, slots=True)
class Matrix:
    """The matrix of the tests that have an axis, with the meaning of the less obvious cells that occur."""

    axes: tuple[str, ...]
    rows: tuple[ReportedTest, ...]
    legend: tuple[str, ...]

    @classmethod
    def of(cls, tests: Iterable[ReportedTest]) -> Matrix:
        """Return the matrix, which has no row if no test has an axis."""
        rows = tuple(test for test in tests if test.matrix)
        cells = {cell for test in rows for cell in test.matrix.values()}
        axes = dict.fromkeys(axis for test in rows for axis in test.matrix)
        return cls(tuple(axes), rows, tuple(text for cell, text in _LEGEND.items() if cell in cells))


def matrix_lines(tests: Iterable[ReportedTest], *, width: int = 80) -> list[str]:
    """Return the matrix as text lines of at most `width` characters, or none if no test has an axis.

    Axes that do not fit next to each other continue in further blocks below.
    """
    matrix = Matrix.of(tests)
    if not matrix.rows:
        return []
    name_width = max(12, min(max(len(_name(test)) for test in matrix.rows), width // 2 - 4))
    lines: list[str] = []
    for block in _blocks(matrix.axes, width - name_width):
        header = "".join(f"  {axis:>{_column(axis)}}" for axis in block)
        lines.append(f"{'':<{name_width}}{header}")
        for test in matrix.rows:
            cells = "".join(f"  {CELLS[test.matrix.get(axis)]:>{_column(axis)}}" for axis in block)
            lines.append(f"{_shorten(_name(test), name_width):<{name_width}}{cells}")
    return [*lines, *matrix.legend]


def _name(test: ReportedTest) -> str:
    return escape(test.nodeid.rpartition("/")[2])


def _column(axis: str) -> int:
    return max(len(axis), 10)


def _blocks(axes: Iterable[str], width: int) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    used = 0
    for axis in axes:
        needed = _column(axis) + 2
        if blocks[-1] and used + needed > width:
            blocks.append([])
            used = 0
        blocks[-1].append(axis)
        used += needed
    return blocks


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"...{text[3 - width :]}"
