"""The file of known findings: what it accepts, what it refuses to read, and how a new scan changes it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.errors import StoreError
from pytest_repro.model import Cause, Verdict
from pytest_repro.model.known import (
    FORMAT,
    KnownFinding,
    find_finding,
    format_known,
    match_finding,
    parse_known,
    read_known,
    tally_known,
)
from pytest_repro.model.known_changes import update_known
from pytest_repro.model.reported import (
    Omission,
    RecordDifference,
    ReportedDiagnosis,
    ReportedRecord,
    ReportedRun,
    ReportedSession,
    ReportedTest,
    RunDifference,
)

TODAY = datetime.date(2026, 12, 1)
CLOCK, ENTROPY = "clock.wall", "rng.os_entropy"


def diverged(*artifacts: str, causes: tuple[str, ...] | None = (ENTROPY,), name: str = "t.py::a", **more: Any):
    """Return a test that diverged; without `causes`, no diagnosis was made."""
    found = None if causes is None else ReportedDiagnosis(tuple(map(Cause, causes)))
    differences = tuple(RunDifference(artifact, "values") for artifact in artifacts)
    runs = ReportedRun(1, outcome="passed"), ReportedRun(2, outcome="passed")
    return ReportedTest(name, Verdict.DIVERGED, 0, runs=runs, divergences=differences, diagnosis=found, **more)


def inconclusive(*names: str, outcome: str = "passed") -> ReportedTest:
    values = tuple(Omission(name, "x.T", "no") for name in names)
    return ReportedTest(
        "t.py::a", Verdict.INCONCLUSIVE, 0, runs=(ReportedRun(1, outcome=outcome),), not_compared=values
    )


def passed(name: str = "t.py::a") -> ReportedTest:
    return ReportedTest(name, Verdict.IDENTICAL, 0, runs=(ReportedRun(1, outcome="passed"),))


def known(test: ReportedTest, **changes: Any) -> KnownFinding:
    finding = find_finding(test)
    assert finding is not None
    return KnownFinding(**{**{name: getattr(finding, name) for name in finding.__slots__}, **changes})


def judge(finding: KnownFinding | None, test: ReportedTest, today: datetime.date = TODAY) -> tuple[str, str]:
    found = match_finding(finding, test, today, "known.json")
    return ("", "") if found is None else (found.status, found.explanation)


def test_the_same_artifacts_with_the_same_cause_are_known_and_so_are_fewer() -> None:
    finding = known(diverged("a", "b"))
    assert judge(finding, diverged("a", "b")) == ("known", "matched by test, artifacts and cause")
    assert judge(finding, diverged("a"))[0] == "known"


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (diverged("a", "c"), "does not have the artifact c"),
        (diverged("a", "c", causes=None), "does not have the artifact c"),
        (diverged("a", causes=(CLOCK,)), f"another cause: {ENTROPY}, and not {CLOCK}"),
        (diverged("a", causes=(ENTROPY, CLOCK)), f"and not {CLOCK}"),
        (diverged("a", divergences_left_out=1), "1 artifacts differ beyond those that are named"),
        (inconclusive("a"), "knows the test as diverged, and it is inconclusive"),
    ],
)
def test_another_finding_of_the_same_test_is_new(test: ReportedTest, words: str) -> None:
    status, explanation = judge(known(diverged("a", "b")), test)
    assert status == "new"
    assert words in explanation


def test_a_test_without_an_entry_is_new() -> None:
    assert judge(None, diverged("a")) == ("new", "known.json has no entry for this test")


def test_what_could_not_be_compared_of_the_cause_is_said() -> None:
    finding = known(diverged("a"))
    assert judge(finding, diverged("a", causes=None))[1].endswith("only: no diagnosis was made")
    assert judge(finding, diverged("a", causes=()))[1].endswith("only: no cause was found")
    assert ENTROPY in judge(known(diverged("a", causes=())), diverged("a"))[1]


def test_elements_of_a_list_that_differ_by_chance_are_known_as_the_list() -> None:
    finding = known(diverged("order/3", "order/12", "w/0/a", "w/0/b", "single/4"))
    assert finding.artifacts == ("order/*", "single/4", "w/0/a", "w/0/b")
    assert judge(finding, diverged("order/1", "order/2", "order/99"))[0] == "known"
    for other in ("single/5", "w/1/a", "order", "order/x", "order/1/2", "other/1"):
        assert judge(finding, diverged(other)) == ("new", f"known.json does not have the artifact {other}")
    assert judge(known(diverged("order/3")), diverged("order/4"))[0] == "new"
    exact = KnownFinding("t.py::a", "diverged", ("a/1", "a/2"))
    assert judge(exact, diverged("a/1", "a/2"))[0] == "known"


def test_an_entry_is_known_to_the_end_of_its_day() -> None:
    finding = known(diverged("a"), expires="2026-12-01")
    assert judge(finding, diverged("a"))[0] == "known"
    status, explanation = judge(finding, diverged("a"), datetime.date(2026, 12, 2))
    assert (status, explanation) == ("expired", "the entry in known.json expired on 2026-12-01")


def test_a_difference_from_a_record_is_never_known() -> None:
    record = ReportedRecord("differs", differences=(RecordDifference("a", "values"),))
    test = diverged("a", record=record)
    assert find_finding(test) is None
    assert judge(known(diverged("a")), test)[0] == "new"
    allowed = ReportedRecord("verified", differences=(RecordDifference("a", "values", within=True),))
    assert judge(known(diverged("a")), diverged("a", record=allowed))[0] == "known"


def test_an_inconclusive_test_is_known_by_the_values_that_were_not_compared() -> None:
    finding = known(inconclusive("x"))
    assert judge(finding, inconclusive("x"))[0] == "known"
    assert judge(finding, inconclusive("x", "y"))[0] == "new"
    assert judge(finding, diverged("x"))[0] == "new"


@pytest.mark.parametrize("test", [passed(), inconclusive(outcome="skipped"), inconclusive(outcome="failed")])
def test_a_pass_a_skip_and_an_expected_failure_are_no_findings(test: ReportedTest) -> None:
    assert find_finding(test) is None
    assert judge(None, test) == ("", "")


def test_the_file_is_sorted_and_reads_back(tmp_path: Path) -> None:
    findings = [known(diverged("b", "a", "b"), reason="é\ud800"), known(diverged("x", name="t.py::0"))]
    text = format_known(findings)
    assert text == format_known(findings[::-1])
    path = tmp_path / "known.json"
    path.write_text(text)
    first, second = read_known(path)
    assert (first.test, second.test, second.artifacts) == ("t.py::0", "t.py::a", ("a", "b"))
    assert text.index('"a"') < text.index('"b"')
    assert format_known(read_known(path)) == text


def entry(**changes: Any) -> dict[str, Any]:
    return {"test": "t.py::a", "verdict": "diverged", "artifacts": ["a"], "causes": [], **changes}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "its format must be"),
        ({"tests": [], "schema_version": 1}, "pytest-repro known REPORT --write FILE"),
        ({"format": FORMAT, "schema_version": 2, "findings": []}, "schema_version is 2"),
        ({"format": FORMAT, "schema_version": True, "findings": []}, "schema_version is True"),
        ({"format": FORMAT, "schema_version": 1}, "findings is missing"),
        ([entry(test="")], "names no test"),
        ([entry(), entry()], "two entries"),
        ([entry(verdict="identical")], "diverged or inconclusive"),
        ([entry(expires="2027-2-3")], "must be a day such as"),
        ([entry(expires="2027-02-30")], "must be a day such as"),
        ([entry(reason="x" * 1001)], "1,001 characters"),
        ([entry(artifacts="a")], "findings[0].artifacts must be a list"),
        ([entry(causes=[1])], "findings[0].causes[0] must be text"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(document: Any, words: str, tmp_path: Path) -> None:
    if isinstance(document, list) and document:
        document = {"format": FORMAT, "schema_version": 1, "findings": document}
    with pytest.raises(StoreError) as caught:
        parse_known(document)
    assert words in str(caught.value)
    path = tmp_path / "known.json"
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=r"known\.json is not a file of known findings"):
        read_known(path)


def test_the_schema_fits_what_is_written_and_refuses_what_is_not_read() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = Path(__file__).parents[3] / "docs" / "schemas" / "known-1.schema.json"
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text()))
    validator.check_schema(validator.schema)
    findings = [known(diverged("a"), reason="r", expires="2027-01-01"), known(diverged("b", name="t.py::b"))]
    validator.validate(json.loads(format_known(findings)))
    for wrong in (entry(test=""), entry(verdict="identical"), entry(expires="soon"), entry(reason="x" * 1001)):
        document = {"format": FORMAT, "schema_version": 1, "findings": [wrong]}
        assert not validator.is_valid(document), wrong


def test_the_tally_tells_what_is_mended_and_what_was_not_compared() -> None:
    tests = [passed("t.py::mended"), diverged("a", name="t.py::old")]
    findings = [known(diverged("a", name=name)) for name in ("t.py::mended", "t.py::old", "t.py::gone")]
    judged = [match_finding(findings[1], tests[1], TODAY, "known.json")]
    tests[1] = ReportedTest(**{**{n: getattr(tests[1], n) for n in tests[1].__slots__}, "acceptance": judged[0]})
    tally = tally_known(findings, tests, "known.json")
    assert (tally.entries, tally.occurred, tally.mended, tally.not_run) == (3, 1, ("t.py::mended",), 1)


def test_a_test_that_is_inconclusive_now_is_not_mended() -> None:
    tally = tally_known([known(diverged("a"))], [inconclusive("a")], "known.json")
    assert tally.mended == ()


def update(old: list[KnownFinding], *tests: ReportedTest, **options: Any) -> Any:
    return update_known(old, [ReportedSession(tests)], **options)


def test_a_new_scan_keeps_reasons_and_dates_and_drops_what_is_mended() -> None:
    old = [
        known(diverged("a"), reason="ticket 1", expires="2027-01-01"),
        known(diverged("a", name="t.py::mended")),
        known(diverged("a", name="t.py::not_run"), reason="kept"),
    ]
    found = update(old, diverged("b"), diverged("a", name="t.py::new"), passed("t.py::mended"), reason="r")
    by_name = {finding.test: finding for finding in found.findings}
    assert by_name["t.py::a"].reason == "ticket 1"
    assert by_name["t.py::a"].expires == "2027-01-01"
    assert by_name["t.py::a"].artifacts == ("b",)
    assert by_name["t.py::new"].reason == "r"
    assert by_name["t.py::not_run"].reason == "kept"
    assert (found.added, found.changed, found.mended, found.unseen) == (
        ("t.py::new",), ("t.py::a",), ("t.py::mended",), ("t.py::not_run",),
    )  # fmt: skip
    assert "t.py::mended" in {each.test for each in update(old, passed("t.py::mended"), keeps_mended=True).findings}


def test_a_scan_without_a_diagnosis_keeps_the_causes() -> None:
    (finding,) = update([known(diverged("a"))], diverged("a", causes=None)).findings
    assert finding.causes == (ENTROPY,)
    (finding,) = update([known(diverged("a"))], diverged("a", causes=(CLOCK,))).findings
    assert finding.causes == (CLOCK,)


def test_a_test_that_is_inconclusive_or_broken_in_the_new_scan_keeps_its_entry() -> None:
    old = [known(diverged("a"), reason="kept")]
    broken = ReportedTest("t.py::a", Verdict.ERROR, 0, runs=(ReportedRun(1, outcome="failed"),))
    found = update(old, broken)
    assert (found.findings, found.mended, found.errors) == ((old[0],), (), ("t.py::a",))
    assert update(old, inconclusive("a", outcome="skipped")).findings == (old[0],)


def test_a_date_is_renewed_only_when_it_is_over() -> None:
    old = [known(diverged("a"), expires="2026-11-30")]
    assert update(old, diverged("a"), today="2026-12-01").findings[0].expires == "2026-11-30"
    assert update(old, diverged("a"), expires="2027-01-01", today="2026-12-01").findings[0].expires == "2027-01-01"
    assert update(old, diverged("a"), expires="2027-01-01", today="2026-11-30").findings[0].expires == "2026-11-30"


def test_several_reports_of_one_test_are_joined_and_one_pass_does_not_mend_it() -> None:
    one, other = ReportedSession((diverged("a"),)), ReportedSession((diverged("b", causes=(CLOCK,)),))
    (finding,) = update_known([], [one, other, ReportedSession((passed(),))]).findings
    assert finding.artifacts == ("a", "b")
    assert finding.causes == tuple(sorted((CLOCK, ENTROPY)))


def test_a_difference_from_a_record_gets_no_entry_and_is_said() -> None:
    record = ReportedRecord("differs", differences=(RecordDifference("a", "values"),))
    found = update([], diverged("a", record=record))
    assert (found.findings, found.of_records) == ((), ("t.py::a",))
