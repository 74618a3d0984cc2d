"""The text of ``pytest-repro explain``: a diagnosis out of a JSON report, and the two traces side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_repro.comparing.elements import escape
from pytest_repro.errors import UsageError
from pytest_repro.model import TraceRow
from pytest_repro.model.reported import ReportedTest
from pytest_repro.reporting.failure import cause_parts, diagnosis_parts, join_labels, lines_of, wrapped

NO_DIAGNOSIS = "no diagnosis was made (--no-repro-diagnose, --pdb, an expected failure)"


def find_diverged(tests: Sequence[ReportedTest], nodeid: str | None) -> list[ReportedTest]:
    """Return the tests that diverged, or only the one whose name is or ends with `nodeid`.

    Raises
    ------
    UsageError
        If no test, or several, have that name.
    """
    if nodeid is None:
        return [test for test in tests if test.verdict == "diverged"]
    found = [test for test in tests if test.nodeid == nodeid]
    found = found or [test for test in tests if test.nodeid.endswith(nodeid)]
    if len(found) != 1:
        names = ", ".join(escape(test.nodeid) for test in (found or tests)[:10])
        problem = f"{len(found)} tests have" if found else "no test has"
        raise UsageError(f"{problem} the name {nodeid!r} in the report; it has {names or 'no tests'}")
    return [test for test in found if test.verdict == "diverged"]


def explain_tests(tests: Iterable[ReportedTest]) -> str:
    """Return the text without control characters, since the file may come from anywhere."""
    return "\n\n".join("\n".join(map(escape, _explain(test))) for test in tests) or "no test diverged"


def _explain(test: ReportedTest) -> list[str]:
    found = test.diagnosis
    if found is None:
        return [test.nodeid, f"  {NO_DIAGNOSIS}"]
    parts = diagnosis_parts(found.first_divergence, found.causes, found.ruled_out)
    parts += cause_parts(found.suspected, label="suspect")
    lines = [test.nodeid, *lines_of(parts)]
    if found.causes and found.ruled_out:
        lines += wrapped("", f"ruled out: {join_labels(found.ruled_out)}")
    return [*lines, "", *_trace_lines(found.rows)] if found.rows else lines


def _trace_lines(rows: Iterable[TraceRow]) -> list[str]:
    """Return the two traces side by side: a line per statement, with what it changed in either run."""
    lines = []
    for row in rows:
        place = f"{Path(row.file).name}:{row.line}"
        lines.append(f"  {'>' if row.differs else ' '} {place:<24} {_cut(row.source, 80)}")
        if row.differs:
            lines.append(f"      run 1  {_cut(row.expected or '(not reached)', 90)}")
            lines.append(f"      other  {_cut(row.actual or '(not reached)', 90)}")
        elif row.expected:
            lines.append(f"      both   {_cut(row.expected, 90)}")
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
