"""The report's tables: verdicts, matrix, artifacts, runs, circumstances. Every figure in a cell is a given one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_repro.reporting.html.document import Circumstance, Difference, Run, Test
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, plain, user
from pytest_repro.reporting.matrix import CELLS, LEGEND
from pytest_repro.reporting.summary import WORDS

#: Of a value that is told in a phrase; what nests deeper was made to exhaust the stack.
MAX_DEPTH = 8
#: How records hold a float, exact to the bit; a reader wants it in decimal too.
_HEXADECIMAL = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p(?:-\d{1,4}|\+(?:\d{1,3}|10[01]\d|102[0-3]))")
#: Signs beside the words, for the eye: shapes, not colours, tell them apart.
_SIGNS = {"diverged": "✗", "error": "!", "inconclusive": "?", "within_tolerance": "≈", "identical": "="}
#: Headings of columns of numbers.
_NUMERIC = frozenset(
    {
        "seed",
        "runs",
        "artifacts",
        "time [s]",
        "run",
        "differing",
        "max ulp",
        "max abs",
        "max rel",
        "2-norm rel",
        "elements",
    }
)
_CELL_VERDICTS = {"unstable": "diverged", "not_isolated": "diverged"}


def table(name: str, caption: Child, headings: Sequence[Child], rows: Iterable[Markup], **attributes: str) -> Markup:
    """Return a table in a region of its own that scrolls, whose first column names the row.

    Parameters
    ----------
    name : str
        Id of the caption, by which the region is named.
    """
    head = el(
        "thead",
        el(
            "tr",
            [
                el("th", heading, scope="col", class_="n" if n and heading in _NUMERIC else None)
                for n, heading in enumerate(headings)
            ],
        ),
    )
    content = el("caption", el("span", caption), id=name), head, el("tbody", rows)
    return el(
        "div", el("table", content, **attributes), class_="scroll", role="group", aria_labelledby=name, tabindex=0
    )


def row(name: Child, *cells: Child, **attributes: str | int | None) -> Markup:
    """Return a row; numbers among the cells are what :func:`figure` made."""
    made = [cell if isinstance(cell, Cell) else Cell(el("td", cell)) for cell in cells]
    return el("tr", el("th", name, scope="row"), made, **attributes)


class Cell(Markup):
    """A whole cell."""

    __slots__ = ()


def figure(value: int | float | None) -> Cell:
    """Return a number's cell; where it does not apply, that is said."""
    if value is None:
        return Cell(el("td", NOT_APPLICABLE, class_="n"))
    return Cell(el("td", number(value), class_="n", data_sort=_sortable(value)))


def number(value: int | float) -> str:
    """Return a number as text."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


_KIND_WORDS = {"nan": "other NaNs or infinities", "missing": "missing:", "extra": "extra:"}
#: For a figure that there is not: a dash for the eye, words for a screen reader.
NOT_APPLICABLE = join([el("span", "–", aria_hidden="true"), el("span", "not applicable", class_="unseen")])


def verdict_mark(verdict: str) -> Markup:
    """Return a verdict as sign and word."""
    word = WORDS.get(verdict, verdict)
    return el("span", el("span", _SIGNS[verdict], aria_hidden="true"), f" {word}", class_=f"mark {verdict}")


def verdicts(tests: Sequence[tuple[Test, str | None]]) -> Markup:
    """Return the table of all tests, each with the id of its section, if it has one."""
    headings = ["test", "verdict", "seed", "runs", "largest difference", "artifacts", "time [s]"]
    rows = (
        row(
            el("a", code(test.nodeid), href=f"#{place}") if place else code(test.nodeid),
            Cell(el("td", verdict_mark(test.verdict))),
            figure_plain(test.seed),
            figure(len(test.runs)),
            Cell(el("td", largest_difference(test), data_sort=_sortable(_distance(test)))),
            figure(test.artifacts),
            figure(round(sum(run.duration_s for run in test.runs), 3)),
            data_verdict=test.verdict,
        )
        for test, place in tests
    )
    return table(
        "verdicts-caption", "Every test by its verdict, failing ones first", headings, rows, id="verdicts-table"
    )


def figure_plain(value: int) -> Cell:
    """Return the cell of a number that is a name: without separators, so that it can be copied."""
    return Cell(el("td", str(value), class_="n", data_sort=value))


def worst_of(test: Test) -> Difference | None:
    """Return the difference that a reader should see first."""
    of_record = test.record.differences if test.record else ()
    found = [*test.divergences, *of_record, *([test.tolerated] if test.tolerated else [])]
    return min(found, key=lambda difference: difference.rank) if found else None


def largest_difference(test: Test) -> Markup:
    """Say the largest difference in a phrase."""
    worst = worst_of(test)
    if worst is None:
        return Markup("none") if test.verdict == "identical" else NOT_APPLICABLE
    between = " " if worst.kind in ("missing", "extra") else " in "
    return join([distance_words(worst), between, code(worst.artifact or "result", 80)])


def distance_words(difference: Difference) -> str:
    """Say one difference's distance."""
    if difference.kind != "values":
        return _KIND_WORDS.get(difference.kind, f"another {difference.kind}")
    told = [f"{difference.max_ulp:,} ulp"] if difference.max_ulp is not None else []
    if difference.max_abs is not None:
        told.append(f"{difference.max_abs:.3g} absolute")
    return ", ".join(told) or "other values"


def _distance(test: Test) -> float:
    worst = worst_of(test)
    if worst is None:
        return 0.0
    return math.inf if worst.max_ulp is None else float(worst.max_ulp)


def matrix(tests: Sequence[Test]) -> tuple[Markup, list[str]] | None:
    """Return the matrix, a row a test and a column an axis, and the legend of its cells; None without an axis."""
    rows = [test for test in tests if test.matrix]
    if not rows:
        return None
    axes = list(dict.fromkeys(axis for test in rows for axis in test.matrix))
    body = (row(code(test.nodeid), *(_matrix_cell(test.matrix.get(axis)) for axis in axes)) for test in rows)
    caption = "What came of varying each axis"
    made = table("matrix-caption", caption, ["test", *(code(axis, 60) for axis in axes)], body, class_="matrix")
    return made, [text for cell, text in LEGEND.items() if any(cell in test.matrix.values() for test in rows)]


def _matrix_cell(cell: str | None) -> Cell:
    if cell is None:
        return Cell(el("td", NOT_APPLICABLE))
    verdict = _CELL_VERDICTS.get(cell, cell)
    sign = el("span", f"{_SIGNS[verdict]} ", aria_hidden="true") if verdict in _SIGNS else None
    return Cell(el("td", el("span", sign, CELLS[cell][0], class_=f"mark {verdict}")))


def artifacts(name: str, caption: Child, differences: Sequence[Difference], *, baseline: str) -> Markup:
    """Return the table of artifacts that differ, with every figure."""
    has_runs = any(difference.run for difference in differences)
    headings = ["artifact", *(["run"] if has_runs else []), "what differs", "dtype", "shape", "differing", "max ulp"]
    headings += ["max abs", "max rel", "2-norm rel", "first at", baseline, "got", "allowed", "would pass with"]
    rows = (
        row(
            code(d.artifact or "result", 160),
            *([figure(d.run)] if has_runs else []),
            f"{d.kind} (allowed)" if d.within else d.kind,
            _short_or_none(d.dtype),
            _short_or_none(d.shape),
            Cell(el("td", f"{d.differing:,} of {d.elements:,}", class_="n")),
            figure(d.max_ulp),
            figure(d.max_abs),
            figure(d.max_rel),
            figure(d.norm_rel),
            _short_or_none(d.first_index),
            _short_or_none(d.expected),
            _short_or_none(d.actual),
            d.allowed,
            d.minimum or "no bound",
        )
        for d in differences
    )
    return table(name, caption, headings, rows, class_="wide")


def _text_or_none(text: str) -> Child:
    return code(text, 120) if text else NOT_APPLICABLE


def _short_or_none(text: str) -> Cell:
    """Return the cell of a dtype, a shape, an index or a value, which is not broken unless it is long."""
    return Cell(el("td", _text_or_none(text), class_="short" if len(text) <= 24 else None))


def runs(name: str, shown: Sequence[Run]) -> Markup:
    """Return the table of runs: condition, outcome, time, digest."""
    rows = (
        row(
            str(run.index),
            "baseline" if run.index == 1 and not run.condition else say_condition(run.condition),
            join([user(run.outcome, 40), *([": ", user(run.reason)] if run.reason else [])]),
            figure(run.duration_s),
            code(run.digest) if run.digest else NOT_APPLICABLE,
        )
        for run in shown
    )
    return table(
        name,
        "Runs: what each was given and gave",
        ["run", "condition", "outcome", "time [s]", "digest"],
        rows,
        class_="numbered",
    )


def say_condition(condition: dict[str, Any]) -> Markup:
    """Say what a run was given that differs from the baseline."""
    if not condition:
        return Markup("same as run 1")
    told = [code(f"{axis}={say(value)}") for axis, value in condition.items()]
    return join([part for entry in told for part in (Markup(", "), entry)][1:])


def circumstances(name: str, shown: Sequence[Circumstance]) -> Markup:
    """Return what differs from where the record was made, most likely explanation first."""
    rows = (
        row(
            str(n),
            user(c.part, 60),
            code(c.name, 120) if c.name else NOT_APPLICABLE,
            code(say(c.recorded)),
            code(say(c.here)),
            "yes" if c.changes_bits else "no",
            code(c.confirm, 120) if c.confirm else NOT_APPLICABLE,
        )
        for n, c in enumerate(shown, 1)
    )
    headings = ["rank", "part", "name", "when recorded", "here", "may excuse other bits", "confirm here with"]
    return table(name, "What else differs, the most likely explanation first", headings, rows, class_="numbered")


def say(value: Any, depth: int = 0) -> str:
    """Say a value of a document in a phrase."""
    if value is None:
        return "none"
    if isinstance(value, (dict, list, tuple)) and depth > MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        if "unavailable" in value:
            return f"unknown ({say(value['unavailable'], depth + 1)})"
        return _separator(value.values()).join(f"{key} {say(item, depth + 1)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return _separator(value).join(say(item, depth + 1) for item in value) or "none"
    if isinstance(value, str) and _HEXADECIMAL.fullmatch(value):
        return f"{float.fromhex(value)!r} ({value})"
    return str(value)


def _separator(items: Iterable[Any]) -> str:
    """Return what stands between items, so that it is seen where one ends that has commas of its own."""
    return "; " if any(isinstance(item, (dict, list, tuple)) and item for item in items) else ", "


def facts(pairs: Iterable[tuple[Child, Child]]) -> Markup:
    """Return a list of names with what stands for each."""
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in pairs])


def left_out(count: int, what: str, where: str = "the JSON report") -> Markup | None:
    """Say what is not shown; None where all is."""
    if count <= 0:
        return None
    return el("p", f"{count:,} more {what} not shown here; {where} has them.", class_="left-out")


def _sortable(value: int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "1e999" if value != -math.inf else "-1e999"
    return plain(str(value), 60)
