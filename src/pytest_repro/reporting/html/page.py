"""The whole page: head with its policy, tally and claim, tables, a section per test, environment, commands, limits."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.records.evidence import Context, explain_result
from pytest_repro.reporting.html import tables
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, user
from pytest_repro.reporting.html.sections import Limits, test_section
from pytest_repro.reporting.matrix import Matrix
from pytest_repro.reporting.summary import UNFINISHED, WORDS, Claim, count_verdicts, say_verdicts

#: Rows of the verdict table, and tests with a section of their own; the rest is counted.
MAX_TESTS = 5000
MAX_SECTIONS = 400
#: Rows of artifacts, and drawings, of the whole page, shared among the tests that have any.
MAX_ROWS = 6000
MAX_FIGURES = 240
MAX_AUDIT_LINES = 500
#: Facts of the environment; this release collects nine.
MAX_FACTS = 40
MAX_PACKAGES = 200


def render_report(session: ReportedSession, context: Context | None = None) -> str:
    """Return the page of a session's results, whose texts need not be trusted."""
    context = context or Context()
    order = list(WORDS)
    tests = sorted(session.tests, key=lambda test: order.index(test.verdict))
    named = [(test, f"t{n}" if n <= MAX_SECTIONS else None) for n, test in enumerate(tests, 1)]
    sections = [
        ("verdicts", "Verdicts", _verdicts(named)),
        ("matrix", "Matrix", _matrix(tests)),
        ("tests", "Tests", _sections(named)),
        ("not-checked", "Not checked", _not_checked(session)),
        ("assertions", "Assertions", _assertions(session)),
        ("environment", "Environment", _environment(session, context)),
        ("audit", "Audit", _audit(context)),
        ("commands", "Repeat and check", _commands(tests, context)),
        ("limits", "Limits", _limits(context)),
    ]
    unfinished = None if session.is_finished else el("p", el("strong", UNFINISHED))
    outcome = el("p", user(f"pytest: {session.pytest.describe()}", 300)) if session.pytest is not None else None
    header = (
        el("h1", "Reproducibility report"),
        _result(session) if context.bundle else None,
        unfinished,
        outcome,
        _tally(tests),
        _claims(tests),
        _circumstances(context),
    )
    return render_page(f"Reproducibility: {say_verdicts(tests)}", header, sections)


def render_page(title: str, header: Child, sections: Sequence[tuple[str, str, Markup | None]]) -> str:
    """Return a complete page without other files.

    Parameters
    ----------
    sections : sequence of (str, str, Markup or None)
        Id, short title and content of each section, the first of which is the one to skip to. None leaves one out.
    """
    places = [(place, name) for place, name, content in sections if content is not None]
    first, name = places[0]
    body = [
        el("a", f"Skip to the {name.lower()}", href=f"#{first}", class_="skip"),
        el("header", header),
        el(
            "nav",
            el("ul", [el("li", el("a", text, href=f"#{place}")) for place, text in places]),
            aria_label="Contents",
        ),
        el("main", [content for _, _, content in sections]),
        el("script", Markup(_asset("report.js"))),
    ]
    return f"<!DOCTYPE html>\n{el('html', _head(title), el('body', body), lang='en')}\n"


def _result(session: ReportedSession) -> Markup:
    """Return the statement's result, and why."""
    result, reasons = explain_result(session)
    return el("p", el("strong", result), user(f": {'; '.join(reasons)}", 2000) if reasons else None)


def _head(title: str) -> Markup:
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("link", rel="icon", href="data:,"),
        el("style", Markup(style)),
    )


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return the source by which a policy admits this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _tally(tests: Sequence[ReportedTest]) -> Markup:
    if not tests:
        return el("p", "No reproducible test ran, so this report shows nothing.")
    items = [el("li", f"{count:,} ", tables.verdict_mark(v)) for v, count in count_verdicts(tests).items()]
    heading = el("p", f"{len(tests):,} reproducible test{'s' * (len(tests) != 1)}:")
    return join([heading, el("ul", items, class_="tally")])


def _claims(tests: Sequence[ReportedTest]) -> Markup | None:
    if not tests:
        return None
    claim = Claim.of(tests)
    meaning = (
        "Identical means that every bit of what a test returned or captured was the same in all its runs, in the "
        "conditions named below. It says nothing about other conditions. "
    )
    link = el("a", "What this report cannot show", href="#limits")
    return join([None if claim is None else el("p", claim.describe()), el("p", meaning, link, ".")])


def _circumstances(context: Context) -> Markup | None:
    if not context.circumstances:
        return None
    pairs = [*context.circumstances.items()]
    if (original := context.reproduces) is not None:
        pairs.append(("reproduces", f"{original.name} (sha256 {original.sha256})"))
    return tables.facts((user(name, 60), code(tables.describe_value(value))) for name, value in pairs)


def section(name: str, title: str, *parts: Child) -> Markup:
    """Return a section of the page, with its heading."""
    return el("section", el("h2", title, id=f"{name}-heading"), parts, id=name, aria_labelledby=f"{name}-heading")


def _verdicts(named: Sequence[tuple[ReportedTest, str | None]]) -> Markup:
    if not named:
        return section("verdicts", "Verdicts", el("p", "No test ran."))
    hidden = [test for test, _ in named[MAX_TESTS:]]
    missing = tables.left_out(len(hidden), f"tests ({say_verdicts(hidden)}) are")
    return section("verdicts", "Verdicts", tables.verdicts(named[:MAX_TESTS]), missing)


def _matrix(tests: Sequence[ReportedTest]) -> Markup | None:
    rows = [test for test in tests if test.matrix]
    if not rows:
        return None
    matrix = Matrix.of(rows[:MAX_TESTS])
    return section(
        "matrix",
        "Reproducibility matrix",
        el("p", "A row per test, a column per axis: whether the result stayed the same when the axis was varied."),
        tables.matrix(matrix),
        el("ul", [el("li", text) for text in matrix.legend]) if matrix.legend else None,
        tables.left_out(len(rows) - MAX_TESTS, "tests are"),
    )


def _sections(named: Sequence[tuple[ReportedTest, str | None]]) -> Markup:
    shown = [(test, place) for test, place in named if place is not None]
    limits = share_limits([test for test, _ in shown])
    hidden = tables.left_out(len(named) - len(shown), "tests have no section and are")
    return section("tests", "Tests", [test_section(test, place, limits) for test, place in shown], hidden)


def share_limits(tests: Sequence[ReportedTest]) -> Limits:
    """Return the limits of each test, so that the page as a whole stays within its own."""
    differing = sum(test.worst is not None for test in tests)
    if not differing:
        return Limits()
    return Limits(artifacts=max(10, min(100, MAX_ROWS // differing)), figures=max(1, min(4, MAX_FIGURES // differing)))


def _environment(session: ReportedSession, context: Context) -> Markup:
    environment = session.environment or {}
    if not environment:
        lacks = "Unknown: the JSON report that this page was made from does not have it."
        missing = el("p", lacks if session.is_finished else "It is collected at the end of the session.")
        return section("environment", "Environment", missing)
    packages = _mapping(environment.get("packages"))
    described: dict[str, Any] = {name: value for name, value in environment.items() if name != "packages"}
    if "unavailable" in packages:
        described["packages"], packages = packages, {}
    shown = [*[*described.items()][:MAX_FACTS], ("code", session.code)]
    pairs = [(user(name.replace("_", " "), 60), user(tables.describe_value(value), 1500)) for name, value in shown]
    computing = {name: _mapping(p) for name, p in packages.items() if _mapping(p).get("numerical")}
    rows = (
        tables.row(
            code(name), code(tables.describe_value(p.get("version"))), code(tables.describe_value(p.get("record")))
        )
        for name, p in [*computing.items()][:MAX_PACKAGES]
    )
    caption = "Packages that compute, or require one that does"
    table = tables.table("packages-caption", caption, ["package", "version", "digest"], rows)
    others = len(packages) - min(len(computing), MAX_PACKAGES)
    return section(
        "environment",
        "Environment",
        el("p", "Environment of the process that controlled the session."),
        tables.facts(pairs),
        table if computing else None,
        tables.left_out(others, "packages are", "record.json" if context.bundle else "the JSON report"),
    )


def _assertions(session: ReportedSession) -> Markup | None:
    if not session.assertions:
        return None
    found = sorted(session.assertions, key=lambda each: each.has_passed)
    rows = (
        tables.row(
            code(each.test), code(each.assertion), user(each.verdict, 40), str(each.count), user(each.message, 300)
        )
        for each in found[:MAX_TESTS]
    )
    caption = "Assertions of pytest-repro, in tests with and without the marker"
    table = tables.table("assertions-caption", caption, ["test", "assertion", "verdict", "calls", "message"], rows)
    return section("assertions", "Assertions", table, tables.left_out(len(found) - MAX_TESTS, "assertions are"))


def _not_checked(session: ReportedSession) -> Markup | None:
    if not session.not_checked:
        return None
    rows = (tables.row(code(each.test), user(each.reason, 600)) for each in session.not_checked[:MAX_TESTS])
    caption = "Tests that their marker excludes, which ran once and were compared with nothing"
    table = tables.table("not-checked-caption", caption, ["test", "reason"], rows)
    hidden = tables.left_out(len(session.not_checked) - MAX_TESTS, "tests are")
    return section("not-checked", "Not checked", table, hidden)


def _audit(context: Context) -> Markup | None:
    if context.audit is None:
        return None
    first, *others = context.audit.describe()
    items = [el("li", user(line.strip(), 600)) for line in others[:MAX_AUDIT_LINES]]
    return section(
        "audit",
        "Audit of the installed packages",
        el("p", user(first)),
        el("ul", items) if items else None,
        tables.left_out(len(others) - MAX_AUDIT_LINES, "lines are", "evidence.json"),
    )


def _commands(tests: Sequence[ReportedTest], context: Context) -> Markup:
    repeat = "Each test's section has the command that repeats it with the same seed."
    parts: list[Child] = [el("p", repeat)] if tests else []
    if command := context.circumstances.get("command"):
        parts.append(tables.facts([("the whole session", code(tables.describe_value(command), 2000))]))
    if context.bundle:
        check = f"pytest-repro verify {shlex.quote(context.bundle)} --key public.pem"
        parts.append(tables.facts([("check the bundle", code(check, 2000))]))
        parts.append(el("p", "This page is one of the files whose digests are in the bundle's statement."))
    return section("commands", "Repeat and check", parts or el("p", "There is nothing to repeat."))


def _limits(context: Context) -> Markup:
    items = [el("li", user(text, 1000)) for text in context.limitations]
    return section("limits", "What this report cannot show", el("ul", items))


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
