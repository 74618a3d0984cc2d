"""The page of `pytest-repro history`: the curve, since when each test diverges, the reports."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.model.history import History, HistoryReport, TestHistory
from pytest_repro.reporting.history_text import (
    MAX_SIGNS,
    MEANINGS,
    SIGNS,
    list_changed,
    say_report,
    say_result,
    say_test,
)
from pytest_repro.reporting.html import tables
from pytest_repro.reporting.html.markup import Child, Markup, code, el, user
from pytest_repro.reporting.html.page import render_page, section
from pytest_repro.reporting.html.trend import MAX_REPORTS, draw_trend

#: Rows of the tables; the JSON document has all.
MAX_TESTS, MAX_ROWS = 5000, 2000
_LOOKS = {"diverged": "diverged", "passed": "identical", "unclear": "inconclusive"}


def render_history(history: History) -> str:
    """Return the page of a history, whose texts need not be trusted."""
    unfinished = [report.name for report in history.reports if not report.is_finished]
    header: list[Child] = [
        el("h1", "Reproducibility over time"),
        el("p", el("strong", user(say_result(history), 600))),
        el("p", user(f"Did not come to their end, so tests that they lack are unknown: {', '.join(unfinished)}", 1000))
        if unfinished
        else None,
    ]
    sections = [
        ("trend", "Trend", _trend(history)),
        ("changes", "Tests", _tests(history)),
        ("reports", "Reports", _reports(history.reports)),
    ]
    return render_page("Reproducibility over time", header, sections)


def _trend(history: History) -> Markup:
    drawing = el(
        "div", draw_trend(history.reports, "trend"), class_="scroll", role="group", tabindex=0, aria_label="figure"
    )
    note = "A hollow mark is a session that did not come to its end: it counts only the tests that it ran."
    return section(
        "trend",
        "Trend",
        el("figure", drawing, el("figcaption", note)),
        tables.left_out(len(history.reports) - MAX_REPORTS, "earlier reports are", "the table of the reports"),
    )


def _tests(history: History) -> Markup:
    shown = list_changed(history)
    if not shown:
        return section("changes", "Tests", el("p", "No test diverged in any report."))
    legend = "; ".join(f"{sign} {MEANINGS[kind]}" for kind, sign in SIGNS.items())
    rows = (_test(test, history.reports) for test in shown[:MAX_TESTS])
    return section(
        "changes",
        "Tests",
        el("p", f"Each sign is a report, the last one on the right: {legend}."),
        tables.table(
            "changes-caption", "Tests that diverge, or did", ["test", "now", "since", "causes", "reports"], rows
        ),
        tables.left_out(len(shown) - MAX_TESTS, "tests are", "the JSON document"),
    )


def _test(test: TestHistory, reports: Sequence[HistoryReport]) -> Markup:
    signs = "".join(SIGNS[point] for point in test.points[-MAX_SIGNS:])
    state = {"passed": "mended", "unclear": "no verdict"}.get(test.state, test.state)
    return tables.row(
        code(test.nodeid),
        el("span", state, class_=f"mark {_LOOKS[test.state]}"),
        el("ul", [el("li", user(line, 300)) for line in say_test(test, reports)]),
        user(", ".join(test.causes), 300) if test.causes else "unknown",
        code(signs),
    )


def _reports(reports: Sequence[HistoryReport]) -> Markup:
    rows = (
        tables.row(
            code(report.name, 120),
            user(say_report(report), 120),
            user(report.started or "unknown", 40),
            user(report.tool or "unknown", 40),
            "yes" if report.is_finished else el("strong", "no"),
            *(tables.figure(report.counts.get(kind, 0)) for kind in ("diverged", "unclear", "passed")),
        )
        for report in reports[-MAX_ROWS:]
    )
    headings = ["report", "commit", "started", "pytest-repro", "finished", "diverged", "unclear", "passed"]
    return section(
        "reports",
        "Reports",
        tables.table("reports-caption", "Reports, the earliest first", headings, rows),
        tables.left_out(len(reports) - MAX_ROWS, "earlier reports are", "the JSON document"),
    )
