"""The whole page: head with its policy, tally and claim, tables, a section a test, environment, limits, commands."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pytest_repro.records.evidence import LIMITATIONS
from pytest_repro.reporting.audit_text import audit_lines
from pytest_repro.reporting.html import tables
from pytest_repro.reporting.html.document import Test, parse_facts, parse_tests
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, user
from pytest_repro.reporting.html.sections import Room, test_section
from pytest_repro.reporting.summary import ORDER, WORDS, describe_claim

#: Rows of the verdict table, and tests with a section of their own; what is beyond is counted.
MAX_TESTS = 5000
MAX_SECTIONS = 400
#: Rows of artifacts, and figures, of the whole page, shared out among the tests that have any.
MAX_ROWS = 6000
MAX_FIGURES = 240
MAX_AUDIT_LINES = 500
#: Of the environment; this release collects nine.
MAX_FACTS = 40
_WITHOUT_BUNDLE = LIMITATIONS[3:5]
_OWN_LIMITATION = (
    "The report shows what the tool wrote, not that the runs took place; a bundle of evidence can be signed."
)


@dataclass(frozen=True, slots=True)
class Context:
    """What a report tells beside its tests.

    Attributes
    ----------
    circumstances : mapping
        Who, when, where, by which command; empty where it is not known.
    bundle : str
        Directory of the bundle that the report is part of; empty for a report by itself.
    limitations : sequence of str
        What cannot be shown; by default that of a report by itself.
    audit : mapping, optional
        What an audit of the installed packages found, as in the evidence; None where none was asked for.
    """

    circumstances: Mapping[str, Any] = field(default_factory=dict)
    bundle: str = ""
    limitations: Sequence[str] = (_OWN_LIMITATION, *_WITHOUT_BUNDLE)
    audit: Mapping[str, Any] | None = None


def render_report(document: Mapping[str, Any], context: Context | None = None) -> str:
    """Return the page of a document of ``--repro-json``, which need not be trusted.

    Parameters
    ----------
    document : mapping
        ``schema_version`` and ``tests``, and ``environment`` and ``code`` where they were collected.
    context : Context, optional

    Raises
    ------
    StoreError
        If the document is not as its schema lays down.
    """
    context = context or Context()
    tests = sorted(parse_tests(document), key=lambda test: ORDER.index(test.verdict))
    named = [(test, f"t{n}" if n <= MAX_SECTIONS else None) for n, test in enumerate(tests, 1)]
    title = f"Reproducibility: {_tally_words(tests)}"
    main: list[Child] = [
        _verdicts(named),
        _matrix(tests),
        _sections(named),
        _environment(parse_facts(document), context),
        _audit(context),
        _commands(tests, context),
        _limits(context),
    ]
    body = [
        el("a", "Skip to the verdicts", href="#verdicts", class_="skip"),
        el(
            "header",
            el("h1", "Reproducibility report"),
            _tally(tests),
            _claims(tests),
            _circumstances(context),
        ),
        _contents(tests, has_audit=context.audit is not None),
        el("main", main),
        el("script", Markup(_asset("report.js"))),
    ]
    return f"<!DOCTYPE html>\n{el('html', _head(title), el('body', body), lang='en')}\n"


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
    """Return the name by which a policy admits this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _tally_words(tests: Sequence[Test]) -> str:
    counts = Counter(test.verdict for test in tests)
    told = ", ".join(f"{counts[verdict]:,} {WORDS.get(verdict, verdict)}" for verdict in ORDER if counts[verdict])
    return f"{told or 'no tests'}"


def _tally(tests: Sequence[Test]) -> Markup:
    counts = Counter(test.verdict for test in tests)
    if not tests:
        return el("p", "No reproducible test was run, so this report shows nothing.")
    items = [el("li", f"{counts[v]:,} ", tables.verdict_mark(v)) for v in ORDER if counts[v]]
    return join(
        [el("p", f"{len(tests):,} reproducible test{'s' * (len(tests) != 1)}:"), el("ul", items, class_="tally")]
    )


def _claims(tests: Sequence[Test]) -> Markup:
    # From what was parsed: the document itself may hold anything.
    claim = describe_claim(
        [{"verdict": test.verdict, "runs": [{"condition": run.condition} for run in test.runs]} for test in tests]
    )
    parts: list[Child] = [el("p", f"{claim[0].upper()}{claim[1:]}.")] if claim else []
    if tests:
        parts.append(
            el(
                "p",
                "Identical means that every bit of what a test returned or captured was the same in all its runs, in "
                "the conditions named below; nothing is said of others. ",
                el("a", "What this report cannot show", href="#limits"),
                ".",
            )
        )
    return join(parts)


def _circumstances(context: Context) -> Markup | None:
    if not context.circumstances:
        return None
    return tables.facts((user(name, 60), code(tables.say(value))) for name, value in context.circumstances.items())


def _contents(tests: Sequence[Test], *, has_audit: bool) -> Markup:
    places = [("verdicts", "Verdicts")]
    if any(test.matrix for test in tests):
        places.append(("matrix", "Matrix"))
    places += [
        ("tests", "Tests"),
        ("environment", "Environment"),
        *([("audit", "Audit")] if has_audit else []),
        ("commands", "Repeat and check"),
        ("limits", "Limits"),
    ]
    return el(
        "nav", el("ul", [el("li", el("a", text, href=f"#{place}")) for place, text in places]), aria_label="Contents"
    )


def _section(name: str, title: str, *parts: Child) -> Markup:
    return el("section", el("h2", title, id=f"{name}-heading"), parts, id=name, aria_labelledby=f"{name}-heading")


def _verdicts(named: Sequence[tuple[Test, str | None]]) -> Markup:
    if not named:
        return _section("verdicts", "Verdicts", el("p", "There is no test."))
    hidden = Counter(test.verdict for test, _ in named[MAX_TESTS:])
    told = f"tests ({', '.join(f'{count:,} {WORDS.get(v, v)}' for v, count in hidden.items())}) are"
    return _section("verdicts", "Verdicts", tables.verdicts(named[:MAX_TESTS]), tables.left_out(hidden.total(), told))


def _matrix(tests: Sequence[Test]) -> Markup | None:
    made = tables.matrix([test for test in tests if test.matrix][:MAX_TESTS])
    if made is None:
        return None
    table, legend = made
    hidden = sum(bool(test.matrix) for test in tests) - MAX_TESTS
    return _section(
        "matrix",
        "Reproducibility matrix",
        el("p", "A row a test, a column an axis: whether the result stayed the same when that was varied."),
        table,
        el("ul", [el("li", text) for text in legend]) if legend else None,
        tables.left_out(hidden, "tests are"),
    )


def _sections(named: Sequence[tuple[Test, str | None]]) -> Markup:
    shown = [(test, place) for test, place in named if place is not None]
    room = share_out([test for test, _ in shown])
    hidden = tables.left_out(len(named) - len(shown), "tests have no section and are")
    return _section("tests", "Tests", [test_section(test, place, room) for test, place in shown], hidden)


def share_out(tests: Sequence[Test]) -> Room:
    """Return the room of each test, so that the page as a whole stays within its bounds."""
    differing = sum(tables.worst_of(test) is not None for test in tests)
    if not differing:
        return Room()
    return Room(artifacts=max(10, min(100, MAX_ROWS // differing)), figures=max(1, min(4, MAX_FIGURES // differing)))


def _environment(facts: Mapping[str, Any], context: Context) -> Markup:
    environment = _mapping(facts.get("environment"))
    if not environment:
        return _section(
            "environment",
            "Environment",
            el("p", "Not told: the JSON report that this page was made from does not hold it."),
        )
    packages = _mapping(environment.get("packages"))
    described = {name: value for name, value in environment.items() if name != "packages"}
    if "unavailable" in packages:
        described["packages"], packages = packages, {}
    shown = [*described.items()][:MAX_FACTS]
    pairs = [(user(name.replace("_", " "), 60), user(tables.say(value), 1500)) for name, value in shown]
    pairs.append((user("code"), user(tables.say(facts.get("code")), 1500)))
    computing = {name: _mapping(p) for name, p in packages.items() if _mapping(p).get("numerical")}
    rows = (
        tables.row(code(name), code(tables.say(p.get("version"))), code(tables.say(p.get("record"))))
        for name, p in [*computing.items()][:200]
    )
    table = tables.table(
        "packages-caption", "Packages that compute, or require one that does", ["package", "version", "digest"], rows
    )
    others = len(packages) - min(len(computing), 200)
    where = "record.json" if context.bundle else "the JSON report"
    return _section(
        "environment",
        "Environment",
        el("p", "Of the process that controlled the session."),
        tables.facts(pairs),
        table if computing else None,
        tables.left_out(others, "packages are", where),
    )


def _audit(context: Context) -> Markup | None:
    if context.audit is None:
        return None
    first, *others = audit_lines(context.audit)
    items = [el("li", user(line.strip(), 600)) for line in others[:MAX_AUDIT_LINES]]
    return _section(
        "audit",
        "Audit of the installed packages",
        el("p", user(first)),
        el("ul", items) if items else None,
        tables.left_out(len(others) - MAX_AUDIT_LINES, "lines are", "evidence.json"),
    )


def _commands(tests: Sequence[Test], context: Context) -> Markup:
    parts: list[Child] = (
        [el("p", "Each test's section has the command that repeats it with the same seed.")] if tests else []
    )
    if command := context.circumstances.get("command"):
        parts.append(tables.facts([("the whole session", code(tables.say(command), 2000))]))
    if context.bundle:
        check = f"pytest-repro verify {shlex.quote(context.bundle)} --key public.pem"
        parts.append(tables.facts([("check the bundle", code(check, 2000))]))
        parts.append(el("p", "This page is one of the files whose digests the bundle's statement names."))
    return _section("commands", "Repeat and check", parts or el("p", "There is nothing to repeat."))


def _limits(context: Context) -> Markup:
    return _section(
        "limits", "What this report cannot show", el("ul", [el("li", user(text, 1000)) for text in context.limitations])
    )


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
