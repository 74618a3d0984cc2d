"""A session's results as Markdown, for the summary page of a CI job or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.model.reported import ReportedSession
from pytest_repro.records.evidence import explain_result
from pytest_repro.reporting.findings import Finding
from pytest_repro.reporting.markdown import markdown_code, markdown_table, markdown_text, matrix_markdown
from pytest_repro.reporting.summary import Claim, is_compared_by_outcome, not_compared_lines, say_verdicts

#: Findings, and rows of the matrix, that are shown. GitHub cuts a summary at 1 MiB, and a comment at 65,536 characters.
MAX_FINDINGS = 50
MAX_ROWS = 200
#: Tests of one finding that are named.
MAX_TESTS = 5


def session_markdown(session: ReportedSession, findings: Sequence[Finding]) -> str:
    """Return the result, the counts, the findings by cause, the matrix, and what was not compared."""
    result, reasons = explain_result(session)
    why = f": {markdown_text('; '.join(reasons))}" if reasons else ""
    lines = ["### Reproducibility", "", f"**{result}**{why}", "", f"- {say_verdicts(session.tests)}"]
    if session.pytest is not None:
        lines.append(f"- pytest: {markdown_text(session.pytest.describe())}")
    by_outcome = sum(map(is_compared_by_outcome, session.tests))
    if by_outcome:
        lines.append(f"- {by_outcome:,} test{'s' * (by_outcome != 1)} compared by outcome only")
    if (claim := Claim.of(session.tests)) is not None:
        lines.append(f"- {markdown_text(claim.describe())}")
    lines += ["", *_findings(findings)]
    # Tests with a row that says something come first, and a table of thousands would hide them.
    tests = sorted((test for test in session.tests if test.matrix), key=lambda test: bool(test.verdict))
    if tests:
        lines += matrix_markdown(tests[:MAX_ROWS]).splitlines()
        hidden = tests[MAX_ROWS:]
        if hidden:
            lines += ["", f"{len(hidden):,} more tests with axes: {say_verdicts(hidden)}"]
        lines.append("")
    if omitted := not_compared_lines(session.tests):
        lines += ["### Not compared", "", *(f"- {markdown_text(line.strip())}" for line in omitted)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _findings(findings: Sequence[Finding]) -> list[str]:
    """Return a table of the findings, one row for each cause and place."""
    if not findings:
        return []
    rows = [
        [markdown_text(found.title), _place(found), _tests(found), markdown_text(found.text), markdown_text(found.fix)]
        for found in findings[:MAX_FINDINGS]
    ]
    lines = ["### Findings", "", *markdown_table(["finding", "where", "tests", "why", "fix"], rows), ""]
    hidden = findings[MAX_FINDINGS:]
    if hidden:
        tests = len({name for found in hidden for name in found.tests})
        lines += [f"{len(hidden):,} more findings, in {tests:,} test{'s' * (tests != 1)}: the report has them.", ""]
    commands = [found.repeat_command for found in findings if found.repeat_command]
    return [*lines, *([f"Repeat the first one: {markdown_code(commands[0])}", ""] if commands else [])]


def _place(found: Finding) -> str:
    if found.place is None:
        return "-"
    line = f":{found.place.line}" if found.place.line is not None else ""
    return markdown_text(f"{found.place.file}{line}")


def _tests(found: Finding) -> str:
    if not found.tests:
        return "-"
    hidden = len(found.tests) - MAX_TESTS
    names = "<br>".join(map(markdown_text, found.tests[:MAX_TESTS]))
    return f"{names}{f'<br>and {hidden:,} more' if hidden > 0 else ''}"
