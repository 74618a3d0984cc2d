"""One finding for each cause and place: nothing is passed over, nothing is shown that is no problem."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.model import Cause, FirstDivergence, Verdict
from pytest_repro.model.reported import (
    RecordDifference,
    ReportedAssertion,
    ReportedDiagnosis,
    ReportedEquivalence,
    ReportedRecord,
    ReportedRun,
    ReportedSession,
    ReportedTest,
    RunDifference,
    SessionOutcome,
)
from pytest_repro.model.results import Location
from pytest_repro.records.evidence import MAX_LISTED
from pytest_repro.reporting.findings import NOTHING_RAN, Finding, Place, find_findings

AT = Location("lib/data.py", 23, "load", "order = list(names)")


def make_test(nodeid: str = "t.py::a", verdict: str = "diverged", **changes: Any) -> ReportedTest:
    """Return a test's result with one run that passed."""
    return ReportedTest(nodeid, Verdict(verdict), 0, **{"runs": (ReportedRun(1, outcome="passed"),), **changes})


def diagnosed(*codes: str, at: Location | None = AT, **changes: Any) -> dict[str, Any]:
    """Return the argument of a test with causes at one place."""
    causes = tuple(Cause(code, evidence=f"seen {code}", fix="sort it", location=at) for code in codes)
    return {"diagnosis": ReportedDiagnosis(causes=causes, **changes)}


def find(*tests: ReportedTest, **changes: Any) -> list[Finding]:
    return find_findings(ReportedSession(tests, **changes))


def test_tests_with_one_cause_at_one_line_are_one_finding() -> None:
    names = [f"t.py::t{n}" for n in range(41)]
    (found,) = find(*(make_test(name, **diagnosed("hash.order")) for name in names))
    assert found.tests == tuple(names)
    assert found.place == Place("lib/data.py", 23, "order = list(names)")
    assert (found.level, found.code, found.text, found.fix) == ("error", "hash.order", "seen hash.order", "sort it")


def test_each_cause_and_each_place_is_a_finding_of_its_own() -> None:
    elsewhere = Location("lib/data.py", 24)
    found = find(
        make_test("t.py::a", **diagnosed("hash.order", "clock.now")),
        make_test("t.py::b", **diagnosed("hash.order")),
        make_test("t.py::c", **diagnosed("hash.order", at=elsewhere)),
    )
    assert [(each.code, each.place and each.place.line, len(each.tests)) for each in found] == [
        ("hash.order", 23, 2),
        ("clock.now", 23, 1),
        ("hash.order", 24, 1),
    ]


def test_a_suspected_cause_is_called_suspected_and_counts_only_without_a_shown_one() -> None:
    suspected = (Cause("threads.race", evidence="could not be tried", location=AT),)
    (found,) = find(make_test(**diagnosed(suspected=suspected)))
    assert found.title == "Not reproducible: threads.race suspected"
    (found,) = find(make_test(**diagnosed("hash.order", suspected=suspected)))
    assert found.code == "hash.order"


def test_without_a_cause_the_place_is_the_first_differing_value_or_the_file_of_the_test() -> None:
    first = FirstDivergence("lib/fit.py", 7, "fit", "w", "w = f(x)", "1", "2", "assigned")
    (found,) = find(make_test(**diagnosed(first_divergence=first)))
    assert (found.code, found.place) == ("unknown", Place("lib/fit.py", 7, "w = f(x)"))
    (found,) = find(make_test("tests/t.py::C::a[x::y]"))
    assert (found.code, found.place, found.text) == ("unknown", Place("tests/t.py"), "the runs differ")
    (found,) = find(make_test(**diagnosed("hash.order", at=None, first_divergence=first)))
    assert found.place == Place("lib/fit.py", 7, "w = f(x)")


def test_a_difference_without_a_diagnosis_says_what_differs() -> None:
    figures: dict[str, Any] = {"elements": 3, "differing": 2, "expected": "1.0", "actual": "2.0"}
    (found,) = find(make_test(divergences=(RunDifference("w/fc", "values", **figures, run=2),)))
    assert found.text == "w/fc: 2 of 3 differ from run 1"
    record = ReportedRecord("differs", differences=(RecordDifference("w", "values", **figures),))
    (found,) = find(make_test(record=record))
    assert found.text == "w: 2 of 3 differ from the record"
    assertion = ReportedEquivalence(1, "order", "assert_order_invariant", "diverged", message="sums differ")
    (found,) = find(make_test(equivalences=(assertion,)))
    assert found.text == "axis order: sums differ"


def test_what_passed_was_skipped_or_failed_as_expected_is_no_finding() -> None:
    assert (
        find(
            make_test("t.py::a", "identical"),
            make_test("t.py::b", "within_tolerance"),
            make_test("t.py::c", "inconclusive", runs=(ReportedRun(1, outcome="skipped"),)),
            make_test("t.py::d", "inconclusive", runs=(ReportedRun(1, outcome="failed"),)),
        )
        == []
    )


@pytest.mark.parametrize("verdict", ["error", "inconclusive"])
def test_a_test_that_could_not_be_judged_is_an_error_with_its_reason(verdict: str) -> None:
    found = find(make_test("t.py::a", verdict, reason="why"), make_test("t.py::b", verdict, reason="another reason"))
    assert [(each.level, each.code, each.text, each.tests) for each in found] == [
        ("error", verdict, "why", ("t.py::a",)),
        ("error", verdict, "another reason", ("t.py::b",)),
    ]


def test_a_divergence_under_an_xfail_mark_is_a_warning_of_its_own() -> None:
    outcome = SessionOutcome(0, xfailed=1, xfailed_tests=("t.py::a",))
    found = find(
        make_test("t.py::a", **diagnosed("hash.order")),
        make_test("t.py::b", **diagnosed("hash.order")),
        pytest=outcome,
    )
    assert [(each.level, each.tests) for each in found] == [("error", ("t.py::b",)), ("warning", ("t.py::a",))]


def test_a_session_that_is_not_finished_is_the_first_finding() -> None:
    found = find(make_test(**diagnosed("hash.order")), is_finished=False)
    assert [each.title for each in found] == [
        "Reproducibility: session not finished",
        "Not reproducible: hash.order",
    ]
    assert find(make_test(verdict="identical"), is_finished=False)[0].level == "error"


def test_a_session_without_tests_does_not_look_like_success() -> None:
    (found,) = find()
    assert (found.level, found.text) == ("warning", NOTHING_RAN)
    assert find(assertions=(ReportedAssertion("t.py::a", "assert_identical", "passed"),)) == []


def test_a_failed_assertion_of_a_test_without_a_verdict_is_a_finding() -> None:
    failed = ReportedAssertion("t.py::a", "assert_batch_invariant", "diverged", "rows differ")
    (found,) = find(assertions=(failed,), pytest=SessionOutcome(1, failed=1, failing_tests=("t.py::a",)))
    assert (found.level, found.title) == ("error", "Not reproducible: assert_batch_invariant diverged")
    # The test passed, so it caught what the assertion raised.
    (found,) = find(make_test(verdict="identical"), assertions=(failed,), pytest=SessionOutcome(0, passed=1))
    assert found.level == "warning"
    assert found.title == "Not reproducible: assert_batch_invariant diverged, and the test went on"
    # The test's own finding says it already.
    assert [each.code for each in find(make_test(), assertions=(failed,))] == ["unknown"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pytest": None},
        {"pytest": SessionOutcome(None), "is_finished": False},
        {"pytest": SessionOutcome(1, failed=MAX_LISTED + 1, failing_tests=("x",) * MAX_LISTED)},
    ],
    ids=["no outcome", "not finished", "list of failures cut"],
)
def test_a_failed_assertion_is_only_a_warning_if_the_test_is_known_to_have_passed(changes: dict[str, Any]) -> None:
    failed = ReportedAssertion("t.py::a", "assert_batch_invariant", "diverged", "rows differ")
    assert find(assertions=(failed,), **changes)[-1].level == "error"
