"""Small tables for a notebook: what was run, what differs, and why. No script, no style sheet, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from pytest_repro.model import Verdict
from pytest_repro.model.reported import Difference, ReportedTest, RunDifference
from pytest_repro.model.text import escape_lines
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, user

#: Rows of one table; the rest is counted.
MAX_ROWS = 10
#: Characters of the text that is unfolded.
MAX_MESSAGE = 20_000
_COLOURS = {
    Verdict.IDENTICAL: "#1a7f37",
    Verdict.WITHIN_TOLERANCE: "#1a7f37",
    Verdict.DIVERGED: "#cf222e",
    Verdict.INCONCLUSIVE: "#9a6700",
    Verdict.ERROR: "#cf222e",
}
_LEFT = "text-align:left;vertical-align:top"


def verdict_mark(verdict: Verdict) -> Markup:
    """Return a verdict in its colour."""
    return el("strong", verdict.value.replace("_", " "), style=f"color:{_COLOURS[verdict]}")


def examination_table(test: ReportedTest, message: str = "") -> str:
    """Return the result of a function or a cell. `message` is its text for a terminal, which can be unfolded."""
    compared = test.compared
    head = [verdict_mark(test.verdict), f": {_count(len(test.runs), 'run')} of ", code(test.nodeid)]
    head.append(
        f", compared: {_count(compared.artifacts, 'artifact')}, {_count(compared.elements, 'element')}"
        if compared.artifacts
        else ""
    )
    rows: list[tuple[str, Child]] = []
    if test.reason:
        rows.append(("reason", user(test.reason)))
    rows += [(f"axis {axis}", cell.replace("_", " ")) for axis, cell in test.matrix.items()]
    if test.diagnosis is not None:
        for cause in test.diagnosis.causes:
            rows.append(("cause", join([code(cause.code), " ", user(cause.evidence)])))
            if cause.location is not None:
                rows.append(("where", join([f"{cause.location.function}: ", code(cause.location.source)])))
            rows.append(("fix", user(cause.fix)))
    rows += [("note", user(note)) for note in test.notes]
    rows += [
        ("not compared", join([code(each.name), f" ({each.type}): ", user(each.reason)]))
        for each in test.not_compared[:MAX_ROWS]
    ]
    left = len(test.not_compared[MAX_ROWS:]) + test.not_compared_left_out
    rows += [("not compared", f"{left:,} more values")] * bool(left)
    parts: list[Child] = [el("div", *head), _pairs(rows), _differences(test.divergences, test.divergences_left_out)]
    if test.largest_tolerated is not None:
        parts.append(_differences([test.largest_tolerated], 0))
    if message and test.divergences:
        parts.append(
            el("details", el("summary", "as text"), el("pre", Markup(html.escape(escape_lines(message[:MAX_MESSAGE])))))
        )
    return el("div", *parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _run_of(found: Difference) -> str:
    if not isinstance(found, RunDifference):
        return ""
    return f"{found.run} ({', '.join(found.axes)})" if found.axes else str(found.run)


def _pairs(rows: Sequence[tuple[str, Child]]) -> Markup | None:
    if not rows:
        return None
    return el("table", *(el("tr", el("th", name, style=_LEFT), el("td", value, style=_LEFT)) for name, value in rows))


def _differences(found: Iterable[Difference], left_out: int) -> Markup | None:
    ranked = sorted(found, key=lambda each: each.rank)
    if not ranked:
        return None
    titles = ("run", "artifact", "kind", "dtype", "shape", "differing", "max ulp", "max abs", "run 1", "other run")
    body = [
        el(
            "tr",
            el("td", _run_of(each)),
            el("td", code(each.artifact or "result"), style=_LEFT),
            el("td", each.kind),
            el("td", each.dtype),
            el("td", "" if each.shape is None else str(each.shape)),
            el("td", f"{each.differing:,}/{each.elements:,}" if each.elements else ""),
            el("td", "" if each.max_ulp is None else f"{each.max_ulp:,}"),
            el("td", "" if each.max_abs is None else f"{each.max_abs:.1e}"),
            el("td", code(each.expected, 60)),
            el("td", code(each.actual, 60)),
        )
        for each in ranked[:MAX_ROWS]
    ]
    left = len(ranked[MAX_ROWS:]) + left_out
    more = el("div", f"{left:,} more") if left else None
    return join([el("table", el("tr", *(el("th", title) for title in titles)), *body), more])
