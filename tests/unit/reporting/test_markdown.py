"""The matrix and the summary of a bundle as Markdown."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedRun, ReportedSession, ReportedTest, RunDifference
from pytest_repro.records.audit import Audit
from pytest_repro.records.evidence import Context
from pytest_repro.reporting.markdown import (
    MAX_AUDIT_LINES,
    MAX_DIFFERENCES,
    markdown_text,
    matrix_markdown,
    summarise_evidence,
)


def entry(nodeid: str = "t.py::a", verdict: str = "identical", **changes: Any) -> ReportedTest:
    """Return a test's result with one run."""
    return ReportedTest(
        nodeid, Verdict(verdict), 0, **{"runs": (ReportedRun(1, digest="sha256:" + "1" * 64),), **changes}
    )


def lines_of(*tests: ReportedTest, code: Any = None, **context: Any) -> list[str]:
    return summarise_evidence(ReportedSession(tests, code=code), Context(**context)).splitlines()


def test_a_test_without_axes_has_no_row_in_the_matrix() -> None:
    assert matrix_markdown([entry()]) == ""
    twice = [entry(matrix={"threads": "identical"}), entry(matrix={"threads": "diverged"}), entry("t.py::b")]
    rows = [line for line in matrix_markdown(twice).splitlines() if "::" in line]
    assert rows == ["| t.py::a | same |", "| t.py::a | **DIFFERS** |"]


def test_a_missing_axis_is_a_dash_and_the_rarer_cells_are_explained() -> None:
    text = matrix_markdown([entry(matrix={"a": "unstable"}), entry(matrix={"b": "within_tolerance"})])
    assert "| t.py::a | **UNSTABLE** | - |" in text
    assert "| t.py::a | - | within tolerance |" in text
    assert text.endswith("- UNSTABLE: a plain repeat differs already, so no axis is to blame\n")


def test_markup_in_a_test_name_stays_text() -> None:
    text = matrix_markdown([entry("a[<b>|`x`]*_\n# h\x1b[31m", matrix={"threads": "diverged"})])
    row = next(line for line in text.splitlines() if "DIFFERS" in line)
    assert "<b>" not in row
    assert "\x1b" not in row
    assert row.count("|") - row.count("\\|") == 3
    assert "\\# h" in row


def test_the_summary_has_tally_circumstances_code_and_a_row_per_test() -> None:
    broken = entry("t.py::b", "error", runs=(), reason="it *broke*")
    lines = lines_of(entry(), broken, code={"commit": "c0ffee"}, circumstances={"host": "h_1"})
    assert lines[2] == "**FAILED**: 1 test whose runs differ or could not be compared"
    assert lines[4] == "1 error, 1 identical"
    assert {"- host: h\\_1", "- code: c0ffee"} < set(lines)
    assert "| t.py::a | identical | 1 | sha256:1111111111111111 |" in lines
    assert "| t.py::b | error | 0 | none |" in lines
    assert lines[lines.index("## t.py::b") + 2] == "it \\*broke\\*"
    assert "## t.py::a" not in lines
    assert "- code: not a repository" in lines_of(code={"unavailable": "not a repository"})


def test_the_first_differences_of_a_test_are_listed() -> None:
    figures: dict[str, Any] = {"elements": 3, "differing": 2, "expected": "1.0", "actual": "2.0"}
    many = tuple(RunDifference(f"w/{n}", "values", **figures, run=2) for n in range(30))
    found = [line for line in lines_of(entry("t.py::a", "diverged", divergences=many)) if line.startswith("- run 2")]
    assert found[0] == "- run 2: w/0, 2 of 3 differ, expected 1.0, got 2.0"
    assert len(found) == MAX_DIFFERENCES


def test_the_audit_is_listed_or_not_requested() -> None:
    assert "- audit of the installed packages: not requested" in lines_of()
    audit = Audit(99, {"numpy 1": [f"PYSEC-{n}" for n in range(99)]})
    lines = lines_of(audit=audit)
    assert "- audit of the installed packages: VULNERABLE: 99 of 99 packages audited, 1 with advisories" in lines
    assert sum(line.startswith("  - numpy 1: PYSEC-") for line in lines) == MAX_AUDIT_LINES


def test_the_limitations_come_last() -> None:
    assert lines_of(limitations=("a", "b"))[-4:] == ["## What this cannot show", "", "- a", "- b"]


#: Rendered by GitHub's own parser (cmark-gfm), none of them made a link, a list, a cell or an element.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://evil.example/x", r"https\://evil.example/x"),
        ("HTTP://a.b", r"HTTP\://a.b"),
        ("www.evil.example", r"www\.evil.example"),
        ("me@evil.example", "me@<!-- -->evil.example"),
        ("[a](http://x)", r"\[a\](http\://x)"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("a|b", r"a\|b"),
        ("a\\", "a\\\\"),
        ("a\nb", "a b"),
        ("- x", r"\- x"),
        ("1. x", r"1\. x"),
        ("---", r"\---"),
        ("1.5", "1.5"),
        ("-1", "-1"),
        ("    code", "code"),
        ("\x1b]8;;http://evil\x1b\\link", r"\\x1b\]8;;http\://evil\\x1b\\link"),
        ("\u202e\u2066\u200b", r"\\u202e\\u2066\\u200b"),
        ("\ud800", r"\\ud800"),
    ],
)
def test_text_of_users_stays_text(text: str, expected: str) -> None:
    assert markdown_text(text) == expected


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    """A cut within ``@<!-- -->`` would hide the rest of the page."""
    for length in range(1990, 2010):
        shown = markdown_text("@" * length)
        assert shown.count("<!--") == shown.count("-->")
        assert not markdown_text("|" * length).replace(r"\|", "").strip(".")


def test_a_command_can_be_copied_from_the_summary_as_it_is() -> None:
    command = "pytest -q test_x.py -k 'a1 or a_3'"
    assert f"- command: `{command}`" in lines_of(entry(), circumstances={"command": command})
    ticks = "pytest -k '`a_1``'"
    assert f"- command: ``` {ticks} ```" in lines_of(entry(), circumstances={"command": ticks})
    (line,) = [each for each in lines_of(entry(), circumstances={"command": "a\n# b"}) if "command" in each]
    assert line == "- command: `a # b`"


def test_a_test_without_a_digest_has_none() -> None:
    assert "| t.py::a | error | 0 | none |" in lines_of(entry(verdict="error", runs=()))
    assert "| t.py::a | error | 1 | none |" in lines_of(entry(verdict="error", runs=(ReportedRun(1),)))
