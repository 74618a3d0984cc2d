"""The history of several reports: since when a test diverges, and what no report says."""

from __future__ import annotations

from typing import Any

from pytest_repro.model import Cause, Verdict
from pytest_repro.model.accepted import NotChecked
from pytest_repro.model.history import History, make_history
from pytest_repro.model.reported import ReportedDiagnosis, ReportedSession, ReportedTest
from pytest_repro.reporting.history_text import describe_history
from pytest_repro.reporting.html.history import render_history
from tests.unit.reporting.html.reading import Page

LETTERS = {"=": Verdict.IDENTICAL, "~": Verdict.WITHIN_TOLERANCE, "x": Verdict.DIVERGED, "?": Verdict.ERROR}
HOSTILE = "t.py::<script>alert(1)</script>\x1b[2J"


def session(day: int, commit: str = "", *, finished: bool = True, dirty: bool = False, **letters: str) -> Any:
    tests = [
        ReportedTest(
            f"t.py::{name}",
            LETTERS[letter],
            0,
            diagnosis=ReportedDiagnosis((Cause("rng.os_entropy"),)) if letter == "x" else None,
        )
        for name, letter in letters.items()
    ]
    when = f"2026-11-{day:02}T10:00:00+00:00" if day else ""
    code: dict[str, Any] = {"commit": commit or f"{day:040x}", "dirty": dirty} if day else {}
    return ReportedSession(
        tuple(tests), code=code or None, is_finished=finished, started=when, committed=when, tool="1" if day else ""
    )


def history(*sessions: ReportedSession) -> History:
    return make_history([(f"run-{n}.json", each) for n, each in enumerate(sessions)])


def find(found: History, name: str) -> Any:
    return next(test for test in found.tests if test.nodeid == f"t.py::{name}")


def test_a_test_diverges_since_the_first_bad_report_after_the_last_good_one() -> None:
    found = history(session(1, a="="), session(2, a="~"), session(3, a="x"), session(4, a="x"))
    test = find(found, "a")
    assert (test.state, test.last_good, test.first_bad, test.between) == ("diverged", 1, 2, 0)
    assert test.causes == ("rng.os_entropy",)
    text = describe_history(found)
    assert "1 diverges now" in text
    assert f"diverges since {3:040x}"[:25] in text


def test_reports_are_ordered_by_the_time_of_their_commit_whatever_the_order_given() -> None:
    found = history(session(4, a="x"), session(1, a="="), session(3, a="x"), session(2, a="="))
    assert [report.started[8:10] for report in found.reports] == ["01", "02", "03", "04"]
    assert (find(found, "a").last_good, find(found, "a").first_bad) == (1, 2)


def test_a_missing_test_and_an_error_are_not_taken_as_good() -> None:
    found = history(session(1, a="="), session(2, b="="), session(3, a="?"), session(4, a="x", b="="))
    test = find(found, "a")
    assert (test.last_good, test.first_bad, test.between) == (0, 3, 2)
    assert test.points == ("passed", "missing", "unclear", "diverged")
    assert "2 reports between do not judge it" in describe_history(found)
    never = history(session(1, b="="), session(2, a="x", b="="))
    assert find(never, "a").last_good is None
    assert "no earlier report has it as good" in describe_history(never)


def test_a_test_that_an_unfinished_session_lacks_is_unknown() -> None:
    found = history(session(1, a="="), session(2, finished=False, b="="), session(3, a="x"))
    assert find(found, "a").points == ("passed", "unknown", "diverged")
    assert "did not come to their end, so tests that they lack are unknown: run-1.json" in describe_history(found)


def test_what_the_last_reports_do_not_judge_is_said() -> None:
    found = history(session(1, a="="), session(2, a="x"), session(3, a="?"), session(4, b="="))
    assert (find(found, "a").state, find(found, "a").later) == ("diverged", 2)
    assert "not judged by the last 2 reports" in describe_history(found)


def test_a_mended_test_and_one_that_changes_often_are_told() -> None:
    found = history(*(session(n, a=letter, b="=", c=letter) for n, letter in enumerate("x=x=", 1)))
    assert (find(found, "a").state, find(found, "a").last_bad, find(found, "a").first_good) == ("passed", 2, 3)
    text = describe_history(found)
    assert "2 mended" in text
    assert "changed 3 times, so it may diverge by chance" in text
    assert "t.py::b" not in text


def test_tests_with_one_history_are_one_row_and_all_are_named_on_request() -> None:
    names = {f"p{n}": "x" for n in range(40)}
    found = history(session(1, **dict.fromkeys(names, "=")), session(2, **names), session(3, **names, other="x"))
    text = describe_history(found)
    assert "and 39 more tests (-v names all)" in text
    assert text.count("t.py::p") == 1
    assert describe_history(found, shows_all=True).count("t.py::p") == 40
    assert "by chance" not in describe_history(history(*(session(n, a=c) for n, c in enumerate("=x=", 1))))


def test_a_test_without_any_verdict_is_not_good() -> None:
    found = history(session(1, a="?"), session(2, a="?"))
    assert find(found, "a").state == "unclear"
    assert "1 without a verdict in any report" in describe_history(found)


def test_an_excluded_test_is_neither_good_nor_missing() -> None:
    excluded = ReportedSession((), not_checked=(NotChecked("t.py::a", "slow"),), started="2026-11-02T10:00:00+00:00")
    found = history(session(1, a="x"), excluded)
    assert find(found, "a").points == ("diverged", "not_checked")


def test_a_report_of_an_older_release_is_placed_first_and_said() -> None:
    found = history(session(1, a="x"), session(0, a="="))
    assert (find(found, "a").last_good, find(found, "a").first_bad) == (0, 1)
    text = describe_history(found)
    assert "have no time, as of an older release, and are placed first as given: run-1.json" in text
    assert "last good   at run-1.json" in text


def test_changes_beside_a_commit_are_marked() -> None:
    text = describe_history(history(session(1, a="="), session(2, "ab" * 20, dirty=True, a="x")))
    assert "diverges since ababababab+ (2026-11-02 10:00)" in text


def test_lines_fit_the_width() -> None:
    name = "test_" + "long_" * 40
    found = history(*(session(n, **{name: "x"}) for n in range(1, 28)))
    assert max(map(len, describe_history(found, width=80).splitlines())) <= 100
    assert len(describe_history(found, width=80).splitlines()[2]) <= 80


def test_the_page_has_a_curve_and_no_markup_of_names() -> None:
    hostile = ReportedTest(HOSTILE, Verdict.DIVERGED, 0)
    last = session(3, finished=False, a="x", c="?")
    found = history(session(1, a="=", b="="), session(2, a="x", b="="), ReportedSession((*last.tests, hostile)))
    page = Page(render_history(found))
    assert "alert(1)" in page.text
    assert "alert" not in str([attributes for _, attributes, _ in page.elements])
    assert page.all("polyline")
    assert len(page.all("script")) == 1
    assert "\x1b" not in page.text
    assert "\x1b" not in describe_history(found)


def test_a_history_of_one_empty_report_is_shown() -> None:
    found = history(ReportedSession(()))
    assert "0 diverge now" in describe_history(found)
    Page(render_history(found))
