"""The page of a merge of collections: result, environments, matrix, splits, differences, reasons."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.model.merged import CellKind, MergedCell, MergedSession, MergedTest, Split
from pytest_repro.reporting.html import tables
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, user
from pytest_repro.reporting.html.page import render_page, section
from pytest_repro.reporting.merged_text import (
    MEANINGS,
    WORDS,
    find_common,
    letters_of,
    say_explanations,
    say_omissions,
    say_result,
)

#: Cells of the matrix; the JSON document has all.
MAX_CELLS = 60_000
MAX_DIFFERENCES = 2_000
MAX_REASONS = 2_000
MAX_NAMES = 500
#: Cell -> the look of a verdict, and its sign.
_LOOKS: dict[CellKind, tuple[str, str]] = {
    "identical": ("identical", "="),
    "within_tolerance": ("within_tolerance", "≈"),
    "diverged": ("diverged", "✗"),
    "not_measured": ("diverged", "✗"),
    "unstable": ("diverged", "✗"),
    "failed": ("error", "!"),
}
_OTHER = ("inconclusive", "?")


def render_merge(session: MergedSession) -> str:
    """Return the page of a merge, whose texts need not be trusted."""
    header: list[Child] = [
        el("h1", "Reproducibility across environments"),
        el("p", el("strong", user(say_result(session), 600))),
        el("p", user(session.code, 400)),
        el("p", user(f"Baseline: {session.baseline}, {session.baseline_reason}.", 400)),
        el("ul", [el("li", user(note, 600)) for note in session.notes]) if session.notes else None,
    ]
    sections = [
        ("environments", "Environments", _environments(session)),
        ("matrix", "Matrix", _matrix(session)),
        ("splits", "Groups", _splits(session)),
        ("differences", "Differences", _differences(session)),
        ("reasons", "Reasons", _reasons(session)),
    ]
    return render_page("Reproducibility across environments", header, sections)


def _environments(session: MergedSession) -> Markup:
    common = find_common(session)
    letters = letters_of(session.groups)
    rows = (
        tables.row(
            code(each.label, 80),
            user(", ".join(fact for fact in each.summary if fact not in common) or "as everywhere", 600),
            letters[each.group] if each.group is not None else "none",
            tables.figure(each.results),
            tables.figure(each.without),
            "yes" if each.is_finished else el("strong", "no"),
            code(each.fingerprint[:19], 40),
        )
        for each in session.environments
    )
    headings = ["environment", "its own", "group", "results", "without", "finished", "fingerprint"]
    everywhere = el("p", user(f"Everywhere: {', '.join(common)}.", 1000)) if common else None
    table = tables.table("environments-caption", "Environments that were collected", headings, rows)
    return section("environments", "Environments", everywhere, table)


def _matrix(session: MergedSession) -> Markup:
    tests = sorted(session.tests, key=lambda test: test.is_good)
    shown = tests[: max(1, MAX_CELLS // len(session.environments))]
    rows = (tables.row(code(test.nodeid), *map(_cell, test.cells)) for test in shown)
    headings: list[Child] = ["test", *(code(each.label, 60) for each in session.environments)]
    kinds = {cell.kind for test in session.tests for cell in test.cells}
    return section(
        "matrix",
        "Matrix",
        el("p", "A row per test, a column per environment, each compared with the baseline."),
        tables.table("matrix-caption", "Each test in each environment", headings, rows, class_="matrix"),
        el("ul", [el("li", f"{WORDS[kind][0]}: {MEANINGS[kind]}") for kind in MEANINGS if kind in kinds]),
        tables.left_out(len(tests) - len(shown), "tests are"),
    )


def _cell(cell: MergedCell) -> tables.Cell:
    look, sign = _LOOKS.get(cell.kind, _OTHER)
    mark = el("span", el("span", f"{sign} ", aria_hidden="true"), WORDS[cell.kind][0], class_=f"mark {look}")
    return tables.Cell(el("td", mark))


def _splits(session: MergedSession) -> Markup:
    intro = (
        f"{len(session.groups):,} distinct result{'s' * (len(session.groups) != 1)}, by the bits of the "
        f"{session.common:,} tests that all environments have. A tolerance joins no groups, since it is not transitive."
    )
    whole = _groups(session.groups) if session.groups else el("p", "No test has a result in every environment.")
    return section("splits", "Groups", el("p", intro), whole, [_split(split) for split in session.splits])


def _groups(groups: Sequence[Sequence[str]]) -> Markup:
    items = zip(letters_of(groups), groups, strict=True)
    return tables.facts((letter, user(", ".join(group), 2000)) for letter, group in items)


def _split(split: Split) -> Markup:
    names = [code(name, 200) for name in split.tests[:MAX_NAMES]]
    parts: list[Child] = [
        el("h3", f"Split of {len(split.tests):,} test{'s' * (len(split.tests) != 1)}"),
        _groups(split.groups),
        el("ul", [el("li", user(text, 600)) for text in say_explanations(split)]) if split.explanations else None,
        el("p", user(split.unexplained, 1000)) if split.unexplained else None,
        el("ul", [el("li", "Confirm here: ", code(command, 600)) for command in split.commands])
        if split.commands
        else None,
        el("details", el("summary", "Tests"), el("ul", [el("li", name) for name in names])),
        tables.left_out(len(split.tests) - len(names), "tests are"),
    ]
    return el("article", parts, class_="test")


def _differences(session: MergedSession) -> Markup:
    found = [
        (test, number, cell) for test in session.tests for number, cell in enumerate(test.cells) if cell.differences
    ]
    if not found:
        return section("differences", "Differences", el("p", "Nothing was measured that differs."))
    rows = (_difference(session, test, number, cell) for test, number, cell in found[:MAX_DIFFERENCES])
    headings = ["test", "environment", "artifact", "what differs", "differing", "max ulp", "max abs", "allowed", "rule"]
    return section(
        "differences",
        "Differences",
        tables.table("differences-caption", "The largest difference from the baseline", headings, rows, class_="wide"),
        tables.left_out(len(found) - MAX_DIFFERENCES, "differences are"),
    )


def _difference(session: MergedSession, test: MergedTest, number: int, cell: MergedCell) -> Markup:
    worst = cell.differences[0]
    return tables.row(
        code(test.nodeid),
        code(session.environments[number].label, 80),
        code(worst.artifact or "the result", 160),
        f"{worst.kind} (allowed)" if worst.within else worst.kind,
        tables.Cell(el("td", f"{worst.differing:,} of {worst.elements:,}", class_="n")),
        tables.figure(worst.max_ulp),
        tables.figure(worst.max_abs),
        worst.allowed,
        user(f"{cell.tier}: {cell.tier_reason}", 600),
    )


def _reasons(session: MergedSession) -> Markup | None:
    found = [(test, number, cell) for test in session.tests for number, cell in enumerate(test.cells) if cell.reason]
    omitted = [el("li", user(text, 1000)) for text in say_omissions(session, MAX_REASONS)]
    if not found and not omitted:
        return None
    rows = (
        tables.row(code(test.nodeid), code(session.environments[n].label, 80), _cell(cell), user(cell.reason, 600))
        for test, n, cell in found[:MAX_REASONS]
    )
    return section(
        "reasons",
        "Reasons",
        tables.table("reasons-caption", "Why a cell has no result", ["test", "environment", "cell", "reason"], rows)
        if found
        else None,
        tables.left_out(len(found) - MAX_REASONS, "reasons are"),
        join([el("h3", "Not compared"), el("ul", omitted)]) if omitted else None,
    )
