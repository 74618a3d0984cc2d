"""Markdown: the matrix for the summary page of a CI job, and the summary of a bundle of evidence.

Text of users stays text, whatever a test is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.model.reported import Difference, MatrixCell, ReportedSession, ReportedTest
from pytest_repro.records.differences import describe_circumstance
from pytest_repro.records.evidence import Context, explain_result
from pytest_repro.reporting.matrix import CELLS, Matrix
from pytest_repro.reporting.summary import UNFINISHED, say_tolerated, say_verdicts, word_of

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#])")
#: What begins a link without brackets.
_ADDRESS = re.compile(r"((?i:www(?=\.)|(?:https?|ftp)(?=:)))([.:])")
#: At the beginning of a line, what begins a list, or draws a rule.
_LIST = re.compile(r"^(\d{0,9})([-+.)])(?=[-\s]|$)")
#: Longest text of a user [characters].
_MAX_TEXT = 2000
#: Differences of one test, and lines of an audit, that are listed.
MAX_DIFFERENCES = 10
MAX_AUDIT_LINES = 50
MAX_OMISSIONS = 100
MAX_FILES = 50
#: Cell of the matrix -> its words, where they differ from those on a terminal: there is room, and emphasis.
_CELLS: dict[MatrixCell | None, str] = {
    **CELLS,
    "within_tolerance": "within tolerance",
    "diverged": "**DIFFERS**",
    "unstable": "**UNSTABLE**",
    "not_isolated": "**DIFFERS?**",
    "not_judged": "**unjudged**",
}


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    # Cut first: a cut within an escape would undo it.
    escaped = _SPECIAL.sub(r"\\\1", escape(shorten(text.replace("\n", " "), _MAX_TEXT)).strip())
    # GitHub makes links of bare addresses and of e-mail addresses.
    escaped = _ADDRESS.sub(r"\1\\\2", escaped).replace("@", "@<!-- -->")
    return _LIST.sub(r"\1\\\2", escaped)


def markdown_code(text: str) -> str:
    """Return text as a span of code in one line, from which a reader can copy a command."""
    shown = escape(shorten(text.replace("\n", " "), _MAX_TEXT))
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"{fence}{shown}{fence}"


def matrix_markdown(tests: Iterable[ReportedTest]) -> str:
    """Return the matrix as a table for ``$GITHUB_STEP_SUMMARY``, or an empty text if no test has an axis."""
    matrix = Matrix.of(tests)
    if not matrix.rows:
        return ""
    rows = [
        [markdown_text(test.nodeid), *(_CELLS[test.matrix.get(axis)] for axis in matrix.axes)] for test in matrix.rows
    ]
    lines = ["### Reproducibility matrix", "", *markdown_table(["test", *map(markdown_text, matrix.axes)], rows), ""]
    return "\n".join([*lines, *(f"- {text}" for text in matrix.legend)]) + "\n"


def summarise_evidence(session: ReportedSession, context: Context) -> str:
    """Return the summary of a bundle: result, circumstances, a row per test, the differences, what cannot be shown."""
    result, reasons = explain_result(session)
    why = f": {markdown_text('; '.join(reasons))}" if reasons else ""
    lines = ["# Reproducibility evidence", "", f"**{result}**{why}", "", say_verdicts(session.tests), ""]
    if not session.is_finished:
        lines += [f"**{UNFINISHED}**", ""]
    if session.pytest is not None:
        lines += [f"pytest: {session.pytest.describe()}", ""]
        outcome = session.pytest
        kinds = (
            ("failed", outcome.failing_tests),
            ("was cut off", outcome.cut_off_tests),
            ("failed as expected", outcome.xfailed_tests),
            ("passed, and was expected to fail", outcome.xpassed_tests),
            ("failed and was run again", outcome.rerun_tests),
            ("skipped", outcome.skipped_tests),
            ("deselected", outcome.deselected_tests),
            ("removed after collection, without a deselection", outcome.vanished_tests),
        )
        for title, names in kinds:
            lines += [f"- {title}: {markdown_text(name)}" for name in names[:MAX_FILES]]
        lines += [""]
    for name, value in context.circumstances.items():
        shown = markdown_code(str(value)) if name == "command" else markdown_text(str(value))
        lines.append(f"- {markdown_text(name)}: {shown}")
    if (original := context.reproduces) is not None:
        lines.append(f"- reproduces: {markdown_text(original.name)} (sha256 {markdown_text(original.sha256)})")
    lines += [*_code(session.code or {}), *_package_files(session.environment or {}), *_audit(context)]
    lines += [*(f"- left out: {markdown_text(text)}" for text in context.left_out[:MAX_FILES]), ""]
    rows = [
        [markdown_text(test.nodeid), _verdict(test), str(len(test.runs)), markdown_text(_digest(test)[:23])]
        for test in session.tests
    ]
    lines += markdown_table(["test", "verdict", "runs", "digest of run 1"], rows)
    for test in session.tests:
        if details := _details(test):
            lines += ["", f"## {markdown_text(test.nodeid)}", "", *details]
    lines += _assertions(session)
    if session.not_checked:
        lines += ["", "## Not checked", ""]
        excluded = session.not_checked[:MAX_OMISSIONS]
        lines += [f"- {markdown_text(each.test)}: {markdown_text(each.reason)}" for each in excluded]
        hidden = len(session.not_checked) - MAX_OMISSIONS
        lines += [f"- and {hidden:,} more"] if hidden > 0 else []
    omitted = [(test, value) for test in session.tests for value in test.not_compared]
    if omitted:
        lines += ["", "## Not compared", ""]
        lines += [
            f"- {markdown_text(test.nodeid)}: {markdown_text(value.name or 'the result')} "
            f"({markdown_text(value.type)}): {markdown_text(value.reason)}"
            for test, value in omitted[:MAX_OMISSIONS]
        ]
        hidden = len(omitted) - MAX_OMISSIONS + sum(test.not_compared_left_out for test in session.tests)
        lines += [f"- and {hidden:,} more"] if hidden > 0 else []
    lines += ["", "## What this cannot show", "", *(f"- {text}" for text in context.limitations), ""]
    return "\n".join(lines)


def _verdict(test: ReportedTest) -> str:
    """Return the word for a verdict, and what the session made of a finding."""
    found = test.acceptance
    return word_of(test) if found is None else f"{word_of(test)}, {markdown_text(found.status)}"


def _details(test: ReportedTest) -> list[str]:
    """Return why a test has its verdict: the differences between runs and from the record, with what was allowed."""
    lines = [markdown_text(test.reason), ""] if test.reason else []
    if (found := test.acceptance) is not None:
        entry = "; ".join(filter(None, (found.explanation, found.reason, found.expires and f"until {found.expires}")))
        lines.append(f"- {markdown_text(found.status)}{': ' * bool(entry)}{markdown_text(entry)}")
    lines += [f"- run {d.run}: {_difference(d)}" for d in test.divergences[:MAX_DIFFERENCES]]
    if (largest := test.largest_tolerated) is not None:
        lines.append(f"- between runs, the largest difference that was tolerated: {_tolerated(largest)}")
    record = test.record
    if record is None:
        return lines
    for each in record.differences[:MAX_DIFFERENCES]:
        text = _tolerated(each) if each.within else f"{_difference(each)} (allowed: {markdown_text(each.allowed)})"
        lines.append(f"- {'tolerated, ' * each.within}from the record: {text}")
    hidden = len(record.differences) - MAX_DIFFERENCES
    lines += [f"- and {hidden:,} more from the record"] if hidden > 0 else []
    # Where nothing differs from the record, only what it allows is of interest.
    shown = record.circumstances if record.differences or not test.verdict else record.changed_bounds
    lines += [f"- since the record: {markdown_text(describe_circumstance(each))}" for each in shown[:MAX_DIFFERENCES]]
    return lines


def _difference(found: Difference) -> str:
    return (
        f"{markdown_text(found.artifact or 'the result')}, {found.differing} of {found.elements} differ, "
        f"expected {markdown_text(found.expected)}, got {markdown_text(found.actual)}"
    )


def _tolerated(found: Difference) -> str:
    return f"{markdown_text(say_tolerated(found))} in {markdown_text(found.artifact or 'the result')}"


def markdown_table(headings: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return the lines of a table."""
    rule = "|" + "---|" * len(headings)
    return [f"| {' | '.join(headings)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def _digest(test: ReportedTest) -> str:
    return (test.runs[0].digest if test.runs else None) or "none"


def _code(code: Mapping[str, Any]) -> list[str]:
    """Return the commit, and the files that differ from it with the lines added and removed."""
    commit = code.get("commit") or code.get("unavailable") or "no commit yet"
    count = code.get("changed_count") or 0
    files = f" with {count} changed file{'s' * (count != 1)}" if count else ""
    changed, lines = code.get("changed") or [], code.get("lines") or {}
    shown = [f"  - {markdown_text(str(name))} ({lines.get(name, 'untracked')})" for name in changed[:MAX_FILES]]
    hidden = [f"  - and {count - MAX_FILES} more"] if count > MAX_FILES else []
    used = code.get("used") or {}
    lists = [(kind, name) for kind in ("ignored", "outside") for name in used.get(kind) or {}]
    # Without a repository nothing is known to be elsewhere.
    outside = "used" if "unavailable" in code else "used from outside of the repository"
    words = {"ignored": "used, and not in the commit", "outside": outside}
    more = [f"  - {markdown_text(name)} ({words[kind]})" for kind, name in lists[:MAX_FILES]]
    more += [
        f"  - not compared with what was installed: {markdown_text(str(name))}" for name in used.get("unchecked") or ()
    ]
    more += [f"  - and {len(lists) - MAX_FILES} more that were used"] if len(lists) > MAX_FILES else []
    return [f"- code: {markdown_text(str(commit))}{files}", *shown, *hidden, *more]


def _package_files(environment: Mapping[str, Any]) -> list[str]:
    """Return the installed files that are not as they were installed, or that could not be compared."""
    found = environment.get("package_files")
    if not isinstance(found, dict) or "changed" not in found:
        return []
    lines = [
        f"- files of the package {markdown_text(name)} were changed after it was installed: "
        f"{markdown_text(', '.join(files))}"
        for name, files in found["changed"].items()
    ]
    unchecked = found.get("unchecked") or {}
    more = [f"{name} ({reason})" for name, reason in unchecked.items()][:MAX_FILES]
    return lines + ([f"- files of packages that were not compared: {markdown_text(', '.join(more))}"] if more else [])


def _assertions(session: ReportedSession) -> list[str]:
    """Return what this package's assertions found in the tests, those that did not pass first."""
    if not session.assertions:
        return []
    lines = ["", "## Assertions", ""]
    found = sorted(session.assertions, key=lambda each: each.has_passed)
    for each in found[:MAX_OMISSIONS]:
        message = f": {markdown_text(each.message)}" if each.message else ""
        calls = f", {each.count} times" if each.count > 1 else ""
        what = f"{markdown_text(each.assertion)} {markdown_text(each.verdict)}"
        lines.append(f"- {markdown_text(each.test)}: {what}{calls}{message}")
    hidden = len(found) - MAX_OMISSIONS
    return [*lines, *([f"- and {hidden:,} more"] if hidden > 0 else [])]


def _audit(context: Context) -> list[str]:
    if context.audit is None:
        return ["- audit of the installed packages: not requested"]
    first, *rest = context.audit.describe()
    shown = [f"  - {markdown_text(line.strip())}" for line in rest[:MAX_AUDIT_LINES]]
    return [f"- audit of the installed packages: {markdown_text(first)}", *shown]
