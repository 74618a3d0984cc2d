"""REPRODUCED is said of the recorded test with the recorded result, and of nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedRecord, ReportedRun, ReportedSession, ReportedTest, SessionOutcome
from pytest_repro.records.documents import Original
from pytest_repro.reproducing.code import check_used
from pytest_repro.reproducing.findings import Outcome, Pillar, Reproduction, TestFinding
from pytest_repro.reproducing.judging import check_data, judge_tests
from pytest_repro.reproducing.subject import RecordedTest, Subject

SAME, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RECORDED = RecordedTest("t.py::t", 7, SAME, {}, {}, "identical", 0, "t.json", "c" * 64)
VERIFIED = ReportedRecord("verified", verdict="identical", sha256="c" * 64)
HERE = ReportedTest(
    "t.py::t", Verdict.IDENTICAL, 7, runs=(ReportedRun(1, outcome="passed", digest=SAME),), record=VERIFIED
)


def run_with(digest: str | None, outcome: str = "passed") -> tuple[ReportedRun, ...]:
    return (ReportedRun(1, outcome=outcome, digest=digest),)


def judge(here: ReportedTest | None, recorded: RecordedTest = RECORDED, **outcome: Any) -> Outcome:
    tests = () if here is None else (here,)
    session = ReportedSession(tests, {}, {}, pytest=SessionOutcome(1, **outcome) if outcome else None)
    (found,) = judge_tests([recorded], session, changes_bits=False)
    return found.outcome


def test_the_recorded_bits_are_reproduced() -> None:
    assert judge(HERE) is Outcome.BITS


@pytest.mark.parametrize(
    "here",
    [
        None,
        replace(HERE, runs=()),
        replace(HERE, runs=run_with(None, "skipped"), verdict=Verdict.INCONCLUSIVE),
        replace(HERE, record=None),
        replace(HERE, record=replace(VERIFIED, sha256="d" * 64)),
        replace(HERE, record=replace(VERIFIED, status="missing"), verdict=Verdict.INCONCLUSIVE),
        replace(HERE, record=replace(VERIFIED, status="inconclusive"), verdict=Verdict.INCONCLUSIVE),
    ],
    ids=["absent", "no run", "skipped", "no record", "another record", "missing record", "inconclusive"],
)
def test_a_test_that_was_not_compared_with_its_record_is_incomplete(here: ReportedTest | None) -> None:
    assert judge(here) is Outcome.INCOMPLETE


@pytest.mark.parametrize(
    "here",
    [
        replace(HERE, runs=run_with(OTHER), verdict=Verdict.DIVERGED, record=replace(VERIFIED, status="differs")),
        replace(HERE, verdict=Verdict.DIVERGED, record=replace(VERIFIED, status="not_verified", sha256="")),
        replace(HERE, runs=run_with(None, "failed"), verdict=Verdict.ERROR, record=None),
    ],
    ids=["another result", "runs that differ", "an error"],
)
def test_another_result_is_not_reproduced(here: ReportedTest) -> None:
    assert judge(here) is Outcome.NOT


@pytest.mark.parametrize("first", [0, 1])
def test_of_a_test_that_ran_twice_the_worse_counts(first: int) -> None:
    worse = replace(HERE, runs=run_with(OTHER), verdict=Verdict.DIVERGED, record=replace(VERIFIED, status="differs"))
    tests = (HERE, worse) if first else (worse, HERE)
    (found,) = judge_tests([RECORDED], ReportedSession(tests), changes_bits=False)
    assert found.outcome is Outcome.NOT


def test_a_test_that_fails_in_pytest_is_not_reproduced() -> None:
    assert judge(HERE, failing_tests=("t.py::t",)) is Outcome.NOT


def test_other_bits_within_the_tolerance_and_runs_that_differ_within_it_are_told_from_equal_bits() -> None:
    within = replace(VERIFIED, verdict="within_tolerance")
    assert (
        judge(replace(HERE, runs=run_with(OTHER), verdict=Verdict.WITHIN_TOLERANCE, record=within)) is Outcome.TOLERANCE
    )
    assert judge(replace(HERE, verdict=Verdict.WITHIN_TOLERANCE)) is Outcome.TOLERANCE


def test_without_a_record_the_digest_decides_unless_another_environment_may_explain_it() -> None:
    bare = replace(RECORDED, record=None, record_sha256="")
    here = replace(HERE, record=None)
    assert judge(here, bare) is Outcome.BITS
    other = replace(here, runs=run_with(OTHER))
    assert judge(other, bare) is Outcome.NOT
    (found,) = judge_tests([bare], ReportedSession((other,)), changes_bits=True)
    assert found.outcome is Outcome.INCOMPLETE


def test_a_test_without_a_recorded_result_is_incomplete() -> None:
    assert judge(HERE, replace(RECORDED, digest=None)) is Outcome.INCOMPLETE


@pytest.mark.parametrize(
    "outcomes, missing, expected",
    [
        ([Outcome.BITS, Outcome.BITS], False, Outcome.BITS),
        ([Outcome.BITS, Outcome.TOLERANCE], False, Outcome.TOLERANCE),
        ([Outcome.BITS, Outcome.INCOMPLETE], False, Outcome.INCOMPLETE),
        ([Outcome.NOT, Outcome.INCOMPLETE], False, Outcome.NOT),
        ([Outcome.BITS], True, Outcome.INCOMPLETE),
        ([Outcome.NOT], True, Outcome.INCOMPLETE),
        ([], False, Outcome.INCOMPLETE),
    ],
)
def test_what_could_not_be_had_decides_before_any_result(
    outcomes: list[Outcome], missing: bool, expected: Outcome
) -> None:
    pillar = Pillar("data", missing=["numbers"] if missing else [])
    tests = tuple(TestFinding("t.py::t", outcome) for outcome in outcomes)
    found = Reproduction(Original("statement.json", "0" * 64), (pillar,), tests)
    assert found.outcome is expected
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(__file__).parents[3] / "docs" / "schemas" / "reproduction-1.schema.json"
    every = tuple(Pillar(name) for name in ("code", "data", "environment", "configuration", "result"))
    jsonschema.validate(replace(found, pillars=every).to_json(), json.loads(schema.read_text(encoding="utf-8")))


def data_of(sha256: str) -> dict[str, Any]:
    return {"numbers": {"kind": "file", "sha256": sha256}}


@pytest.mark.parametrize("here, is_same", [(data_of("1" * 64), True), (data_of("2" * 64), False), ({}, False)])
def test_data_is_the_recorded_one_by_its_digest_alone(here: dict[str, Any], is_same: bool) -> None:
    pillar = Pillar("data")
    check_data([replace(RECORDED, data=data_of("1" * 64))], {"t.py::t": {"data": here}}, pillar)
    assert (bool(pillar.missing), pillar.same) == (not is_same, ["numbers"] if is_same else [])


def test_data_that_the_record_does_not_have_is_not_the_recorded_one() -> None:
    pillar = Pillar("data")
    check_data([RECORDED], {"t.py::t": {"data": data_of("1" * 64)}}, pillar)
    assert pillar.missing


def used(**outside: str) -> dict[str, Any]:
    return {"ignored": {}, "outside": outside}


@pytest.mark.parametrize(
    "then, now, is_same",
    [
        (used(**{"a/b/helper.py": SAME}), used(**{"c/d/helper.py": SAME}), True),
        (used(**{"a/helper.py": SAME}), used(**{"a/helper.py": OTHER}), False),
        (used(), used(**{"project/src/module.py": SAME}), False),
        (used(**{"project/src/module.py": SAME}), used(), False),
        (used(**{"lib/site-packages/_editable_impl_pytest_repro.pth": SAME}), used(), True),
        (used(**{"lib/site-packages/__editable___toy_lib_1_0_finder.py": SAME}), used(), True),
        (used(**{"lib/site-packages/evil.pth": SAME}), used(), False),
    ],
)
def test_code_that_no_commit_has_is_the_recorded_one_by_its_digest(then: Any, now: Any, is_same: bool) -> None:
    pillar = Pillar("code")
    subject = Subject(Original("statement.json", "0" * 64), True, {"used": then}, {}, (RECORDED,), {})
    check_used(pillar, subject, now, ("toy-lib",))
    assert bool(pillar.missing) is not is_same
