"""The summary of a session as Markdown: result, counts, findings, matrix, omissions."""

from __future__ import annotations

from typing import Any

from pytest_repro.model.reported import Omission, ReportedSession, ReportedTest, SessionOutcome
from pytest_repro.reporting.findings import find_findings
from pytest_repro.reporting.session_markdown import MAX_FINDINGS, MAX_ROWS, session_markdown
from tests.unit.reporting.test_findings import diagnosed, make_test


def render(*tests: ReportedTest, **changes: Any) -> list[str]:
    session = ReportedSession(tests, **changes)
    return session_markdown(session, find_findings(session)).splitlines()


def test_the_summary_has_result_counts_findings_and_the_matrix() -> None:
    diverged = make_test(matrix={"hash_seed": "diverged"}, repeat_command="pytest t.py::a", **diagnosed("hash.order"))
    outcome = SessionOutcome(1, passed=1, failed=1, failing_tests=("t.py::a",))
    lines = render(make_test("t.py::b", "identical"), diverged, pytest=outcome)
    assert lines[2] == "**FAILED**: 1 test failed in pytest"
    assert {"- 1 diverged, 1 identical", "- pytest: 1 passed, 1 failed; exit status 1"} <= set(lines)
    row = "| Not reproducible: hash.order | lib/data.py:23 | t.py::a | seen hash.order | sort it |"
    assert row in lines
    assert "Repeat the first one: `pytest t.py::a`" in lines
    assert "| t.py::a | **DIFFERS** |" in lines


def test_a_session_that_shows_nothing_is_no_success() -> None:
    assert "nothing is shown" in render()[2]
    lines = render(make_test(verdict="identical"), is_finished=False)
    assert lines[2].startswith("**FAILED**")
    assert any("session not finished" in line for line in lines)


def test_failures_that_only_pytest_saw_are_in_the_result() -> None:
    lines = render(make_test(verdict="identical"), pytest=SessionOutcome(1, errors=2, failing_tests=("t.py::x",)))
    assert lines[2] == "**FAILED**: 2 tests failed in pytest"


def test_markup_of_a_test_stays_text_and_in_its_cell() -> None:
    lines = render(make_test("t.py::a[<b>|`x`\n# h]", reason="**bold** @everyone | x\n\n# h"))
    (row,) = [line for line in lines if "cause unknown" in line]
    assert row.count("|") - row.count("\\|") == 6
    assert "<b>" not in row
    assert "@everyone" not in row
    assert "\\*\\*bold" in row


def test_what_does_not_fit_is_counted_and_failing_rows_come_first() -> None:
    tests = [make_test(f"t.py::t{n}", "identical", matrix={"threads": "identical"}) for n in range(MAX_ROWS + 3)]
    lines = render(*tests, make_test(matrix={"threads": "diverged"}))
    first = lines.index("| test | threads |") + 2
    assert lines[first] == "| t.py::a | **DIFFERS** |"
    assert "4 more tests with axes: 4 identical" in lines
    many = [make_test(f"t.py::t{n}", reason=f"reason {n}") for n in range(MAX_FINDINGS + 2)]
    assert "2 more findings, in 2 tests: the report has them." in render(*many)


def test_what_was_not_compared_is_listed() -> None:
    lines = render(make_test(verdict="identical", not_compared=(Omission("client", "Client", "no adapter"),)))
    assert lines[lines.index("### Not compared") + 3] == "- Client: no adapter: client of t.py::a"
    assert "- 1 test compared by outcome only" in lines
