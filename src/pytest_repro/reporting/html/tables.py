"""The report's tables: verdicts, matrix, artifacts, runs, circumstances. Computes no figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_repro.model import Verdict
from pytest_repro.model.codec import read_float
from pytest_repro.model.reported import Circumstance, Difference, MatrixCell, ReportedRun, ReportedTest, RunDifference
from pytest_repro.reporting.failure import describe_engine
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, plain, user
from pytest_repro.reporting.matrix import CELLS, Matrix
from pytest_repro.reporting.summary import WORDS

#: Nesting of a value that is shown in a phrase: deeper ones exist to exhaust the stack.
MAX_DEPTH = 8
#: Signs next to the words: shapes distinguish them, not colours.
_SIGNS = {
    Verdict.DIVERGED: "✗",
    Verdict.ERROR: "!",
    Verdict.INCONCLUSIVE: "?",
    Verdict.WITHIN_TOLERANCE: "≈",
    Verdict.IDENTICAL: "=",
}
#: Cells of the matrix that look like a verdict.
_CELL_VERDICTS: dict[MatrixCell, Verdict] = {
    "identical": Verdict.IDENTICAL,
    "within_tolerance": Verdict.WITHIN_TOLERANCE,
    "diverged": Verdict.DIVERGED,
    "unstable": Verdict.DIVERGED,
    "not_isolated": Verdict.DIVERGED,
}
#: Headings of columns of numbers.
_NUMERIC = frozenset({
    "seed", "runs", "artifacts", "time [s]", "run", "differing", "max ulp", "max abs", "max rel", "2-norm rel",
    "elements",
})  # fmt: skip


def table(name: str, caption: Child, headings: Sequence[Child], rows: Iterable[Markup], **attributes: str) -> Markup:
    """Return a table in a region that scrolls by itself, whose first column names the row.

    Parameters
    ----------
    name : str
        Id of the caption, by which the region is named.
    """
    cells = [
        el("th", heading, scope="col", class_="n" if n and heading in _NUMERIC else None)
        for n, heading in enumerate(headings)
    ]
    content = el("caption", el("span", caption), id=name), el("thead", el("tr", cells)), el("tbody", rows)
    return el(
        "div", el("table", content, **attributes), class_="scroll", role="group", aria_labelledby=name, tabindex=0
    )


def row(name: Child, *cells: Child, **attributes: str | int | None) -> Markup:
    """Return a row, whose cells may be contents or a :class:`Cell` each."""
    made = [cell if isinstance(cell, Cell) else Cell(el("td", cell)) for cell in cells]
    return el("tr", el("th", name, scope="row"), made, **attributes)


class Cell(Markup):
    """A complete cell, with its ``td``."""

    __slots__ = ()


def figure(value: int | float | None) -> Cell:
    """Return the cell of a number, or for None that it does not apply."""
    if value is None:
        return Cell(el("td", NOT_APPLICABLE, class_="n"))
    return Cell(el("td", number(value), class_="n", data_sort=_sortable(value)))


def number(value: int | float) -> str:
    """Return a number as text."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


_KIND_WORDS = {"nan": "other NaNs or infinities", "missing": "missing:", "extra": "extra:"}
#: A figure that does not apply: a dash for the eye, words for a screen reader.
NOT_APPLICABLE = join([el("span", "–", aria_hidden="true"), el("span", "not applicable", class_="unseen")])


def verdict_mark(verdict: Verdict) -> Markup:
    """Return a verdict as sign and word."""
    sign = el("span", _SIGNS[verdict], aria_hidden="true")
    return el("span", sign, f" {WORDS[verdict]}", class_=f"mark {verdict}")


def verdicts(tests: Sequence[tuple[ReportedTest, str | None]]) -> Markup:
    """Return the table of all tests, each with the id of its section, if it has one."""
    headings = ["test", "verdict", "seed", "runs", "largest difference", "artifacts", "time [s]"]
    rows = (
        row(
            el("a", code(test.nodeid), href=f"#{place}") if place else code(test.nodeid),
            Cell(el("td", verdict_mark(test.verdict), f", {test.acceptance.status}" if test.acceptance else None)),
            # A number that is a name has no separators, so that it can be copied.
            Cell(el("td", str(test.seed), class_="n", data_sort=test.seed)),
            figure(len(test.runs)),
            Cell(el("td", largest_difference(test), data_sort=_sortable(_distance(test.worst)))),
            figure(test.compared.artifacts),
            figure(test.duration_s),
            data_verdict=test.verdict.value,
        )
        for test, place in tests
    )
    return table(
        "verdicts-caption", "Every test by its verdict, failing ones first", headings, rows, id="verdicts-table"
    )


def largest_difference(test: ReportedTest) -> Markup:
    """Return the largest difference as a phrase."""
    worst = test.worst
    if worst is None:
        return Markup("none") if test.verdict is Verdict.IDENTICAL else NOT_APPLICABLE
    between = " " if worst.kind in ("missing", "extra") else " in "
    return join([distance_words(worst), between, code(worst.artifact or "result", 80)])


def distance_words(difference: Difference) -> str:
    """Return one difference's distance in words."""
    if difference.kind != "values":
        return _KIND_WORDS.get(difference.kind, f"another {difference.kind}")
    parts = [f"{difference.max_ulp:,} ulp"] if difference.max_ulp is not None else []
    if difference.max_abs is not None:
        parts.append(f"{difference.max_abs:.3g} absolute")
    return ", ".join(parts) or "other values"


def _distance(worst: Difference | None) -> float:
    if worst is None:
        return 0.0
    return math.inf if worst.max_ulp is None else float(worst.max_ulp)


def matrix(shown: Matrix) -> Markup:
    """Return the matrix: a row per test, a column per axis."""
    rows = (
        row(code(test.nodeid), *(_matrix_cell(test.matrix.get(axis)) for axis in shown.axes)) for test in shown.rows
    )
    headings = ["test", *(code(axis, 60) for axis in shown.axes)]
    return table("matrix-caption", "The result of varying each axis", headings, rows, class_="matrix")


def _matrix_cell(cell: MatrixCell | None) -> Cell:
    if cell is None:
        return Cell(el("td", NOT_APPLICABLE))
    verdict = _CELL_VERDICTS.get(cell)
    sign = el("span", f"{_SIGNS[verdict]} ", aria_hidden="true") if verdict is not None else None
    return Cell(el("td", el("span", sign, CELLS[cell], class_=f"mark {verdict or cell}")))


def artifacts(name: str, caption: Child, differences: Sequence[Difference], *, baseline: str) -> Markup:
    """Return the table of artifacts that differ, with every figure."""
    has_runs = any(isinstance(difference, RunDifference) for difference in differences)
    headings = ["artifact", *(["run"] if has_runs else []), "what differs", "dtype", "shape", "differing", "max ulp"]
    headings += ["max abs", "max rel", "2-norm rel", "first at", baseline, "got", "allowed", "would pass with"]
    rows = (
        row(
            code(d.artifact or "result", 160),
            *([figure(d.run)] if isinstance(d, RunDifference) else []),
            f"{d.kind} (allowed)" if d.is_allowed else d.kind,
            _short(d.dtype or ""),
            _short(_index(d.shape)),
            Cell(el("td", f"{d.differing:,} of {d.elements:,}", class_="n")),
            figure(d.max_ulp),
            figure(d.max_abs),
            figure(d.max_rel),
            figure(d.norm_rel),
            _short(_index(d.first_index)),
            _short(d.expected),
            _short(d.actual),
            d.allowed,
            d.minimum or "no bound",
        )
        for d in differences
    )
    return table(name, caption, headings, rows, class_="wide")


def _index(index: tuple[int, ...] | None) -> str:
    return "" if index is None else f"({', '.join(map(str, index[:64]))})"


def _short(text: str) -> Cell:
    """Return the cell of a dtype, a shape, an index or a value, which does not wrap unless it is long."""
    content = code(text, 120) if text else NOT_APPLICABLE
    return Cell(el("td", content, class_="short" if len(text) <= 24 else None))


def runs(name: str, shown: Sequence[ReportedRun]) -> Markup:
    """Return the table of runs: condition, outcome, engine, time, digest."""
    rows = (
        row(
            str(run.index),
            "baseline" if run.index == 1 and not run.condition else describe_condition(run.condition),
            join([user(run.outcome, 40), *([": ", user(run.reason)] if run.reason else [])]),
            user(describe_engine(run.engine, run.interpreter), 120),
            figure(run.duration_s),
            code(run.digest) if run.digest else NOT_APPLICABLE,
        )
        for run in shown
    )
    headings = ["run", "condition", "outcome", "made by", "time [s]", "digest"]
    return table(name, "Runs: conditions and results", headings, rows, class_="numbered")


def describe_condition(condition: dict[str, Any]) -> Markup:
    """Return how a run's condition differs from the baseline's."""
    if not condition:
        return Markup("same as run 1")
    parts = [code(f"{axis}={describe_value(value)}") for axis, value in condition.items()]
    return join([part for entry in parts for part in (Markup(", "), entry)][1:])


def circumstances(name: str, shown: Sequence[Circumstance]) -> Markup:
    """Return the table of what differs from where the record was made, the most likely explanation first."""
    rows = (
        row(
            str(n),
            user(c.part, 60),
            code(c.name, 120) if c.name else NOT_APPLICABLE,
            code(describe_value(c.recorded)),
            code(describe_value(c.here)),
            "yes" if c.changes_bits else "no",
            code(c.confirm, 120) if c.confirm else NOT_APPLICABLE,
        )
        for n, c in enumerate(shown, 1)
    )
    headings = ["rank", "part", "name", "when recorded", "here", "may change bits", "confirm here with"]
    return table(name, "What else differs, the most likely explanation first", headings, rows, class_="numbered")


def describe_value(value: Any, depth: int = 0) -> str:
    """Return a value of a document as a phrase."""
    if value is None:
        return "none"
    if isinstance(value, (dict, list, tuple)) and depth > MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        if "unavailable" in value:
            return f"unknown ({describe_value(value['unavailable'], depth + 1)})"
        parts = [f"{key} {describe_value(item, depth + 1)}" for key, item in value.items()]
        return _separator(value.values()).join(parts) or "none"
    if isinstance(value, (list, tuple)):
        return _separator(value).join(describe_value(item, depth + 1) for item in value) or "none"
    number = read_float(value)
    return str(value) if number is None else f"{number!r} ({value})"


def _separator(items: Iterable[Any]) -> str:
    """Return the separator of items: a semicolon where an item has commas of its own."""
    return "; " if any(isinstance(item, (dict, list, tuple)) and item for item in items) else ", "


def facts(pairs: Iterable[tuple[Child, Child]]) -> Markup:
    """Return a list of names and their values."""
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in pairs])


def left_out(count: int, what: str, where: str = "the JSON report") -> Markup | None:
    """Return a note about the number of hidden items, or None if there are none."""
    if count <= 0:
        return None
    return el("p", f"{count:,} more {what} not shown here; {where} has them.", class_="left-out")


def _sortable(value: int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "1e999" if value != -math.inf else "-1e999"
    return plain(str(value), 60)
