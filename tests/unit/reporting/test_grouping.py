"""Findings of a large scan in groups, and what the scan cost."""

from __future__ import annotations

from typing import Any

from pytest_repro.model import Cause, FirstDivergence, Location, Verdict
from pytest_repro.model.accepted import Acceptance
from pytest_repro.model.reported import ReportedDiagnosis, ReportedRun, ReportedTest
from pytest_repro.reporting.costs import cost_lines
from pytest_repro.reporting.grouping import group_findings, group_lines, unfinished_lines
from pytest_repro.reporting.summary import finding_lines, summary_lines

ENTROPY = Cause(
    "rng.os_entropy",
    evidence="pinned",
    fix="seed it",
    location=Location("utils/data.py", 23, "f", "order = urandom(4)"),
)
CLOCK = Cause("clock.wall", location=Location("a.py", 3, "f", "now = time()"))


def entry(name: str, verdict: str = "diverged", cause: Cause | None = None, **changes: Any) -> ReportedTest:
    runs = ReportedRun(1, outcome="passed"), ReportedRun(2, outcome="passed")
    found = None if cause is None else ReportedDiagnosis((cause,), complete=True)
    return ReportedTest(f"t.py::{name}", Verdict(verdict), 0, **{"runs": runs, "diagnosis": found, **changes})


def many(count: int, cause: Cause, prefix: str = "a") -> list[ReportedTest]:
    return [entry(f"{prefix}{n}", cause=cause) for n in range(count)]


def test_findings_are_grouped_by_cause_and_line_the_largest_first() -> None:
    tests = [*many(3, CLOCK), *many(41, ENTROPY, "b"), entry("same", "identical")]
    lines = finding_lines(tests)
    assert lines == [
        "   41 tests  rng.os_entropy at utils/data.py:23: `order = urandom(4)`",
        "             t.py::b0 and 40 more",
        "    3 tests  clock.wall at a.py:3: `now = time()`",
        "             t.py::a0 and 2 more",
    ]


def test_one_cause_at_two_lines_is_two_groups() -> None:
    elsewhere = Cause("rng.os_entropy", location=Location("utils/data.py", 24))
    assert len(group_findings([entry("a", cause=ENTROPY), entry("b", cause=elsewhere)])) == 2


def test_new_findings_come_before_known_ones_and_a_known_one_is_marked() -> None:
    known = [
        ReportedTest(**{**{n: getattr(t, n) for n in t.__slots__}, "acceptance": Acceptance("known")})
        for t in many(5, ENTROPY)
    ]
    groups = group_findings([*known, entry("new", cause=ENTROPY)])
    assert [(group.is_accepted, len(group.tests)) for group in groups] == [(False, 1), (True, 5)]
    assert group_lines(groups, limit=None)[3].startswith("    5 tests  known: rng.os_entropy")


def test_the_number_of_lines_is_bounded_and_everything_is_shown_on_request() -> None:
    tests = [entry(f"x{n}", cause=Cause(f"code.{n}", fix="do it", location=Location("a.py", n))) for n in range(300)]
    lines = finding_lines(tests)
    assert len(lines) == 21
    assert lines[-1] == "  and 290 other findings in 290 tests (-v shows all, --repro-html has them)"
    every = "\n".join(finding_lines(tests, shows_all=True))
    assert all(f"t.py::x{n}" in every for n in range(300))
    assert "fix: do it" in every


def test_few_tests_are_named_and_a_shared_cause_is_shown_once() -> None:
    lines = finding_lines([*many(2, ENTROPY), entry("c", "error", reason="broken")])
    assert lines[0].startswith("    2 tests  rng.os_entropy at utils/data.py:23")
    assert lines[2:] == ["  diverged      t.py::a0", "  diverged      t.py::a1", "  error         t.py::c"]


def test_reasons_that_differ_by_a_number_are_one_group() -> None:
    tests = [entry(f"e{n}", "error", reason=f"run {n} failed by itself: boom") for n in range(12)]
    (group,) = group_findings(tests)
    assert len(group.tests) == 12
    skipped = entry("s", "inconclusive", runs=(ReportedRun(1, outcome="skipped"),))
    assert group_findings([skipped]) == []


def test_skipped_tests_of_a_large_scan_are_counted_and_not_listed() -> None:
    skipped = [entry(f"s{n}", "inconclusive", runs=(ReportedRun(1, outcome="skipped"),)) for n in range(200)]
    assert finding_lines(skipped) == []
    assert summary_lines(skipped, base_seed=0)[0].startswith("200 skipped")


def test_control_characters_do_not_reach_the_terminal() -> None:
    cause = Cause("x.y", location=Location("a\x1b[2J.py", 1, "f", "a\nb\x07"))
    text = "".join(finding_lines(many(12, cause)))
    assert text.isprintable()


def test_a_cause_without_a_place_takes_the_first_value_that_differs() -> None:
    first = FirstDivergence("b.py", 7, "f", "order", "order = list(names)")
    found = ReportedDiagnosis((Cause("hash.order"),), first)
    assert group_findings([entry("a", diagnosis=found)])[0].what == "hash.order at b.py:7: `order = list(names)`"
    found = ReportedDiagnosis((), first)
    assert "`order` differs first, cause not found" in group_findings([entry("a", diagnosis=found)])[0].what


def test_what_a_budget_left_out_is_named_with_the_command_that_goes_on() -> None:
    stopped = ReportedDiagnosis(stopped_by="session")
    tests = [
        entry(f"u{n}", diagnosis=stopped, repeat_command=f"pytest 't.py::u{n}[a b]' --repro-runs=2 --repro-all")
        for n in range(7)
    ]
    lines = unfinished_lines([*tests, entry("own", diagnosis=ReportedDiagnosis(stopped_by="test"))])
    assert lines[0] == "7 tests were not diagnosed to the end, since --repro-budget was spent:"
    assert lines[-2] == "  t.py::u4 and 2 more (-v shows all)"
    names = " ".join(f"'t.py::u{n}[a b]'" for n in range(5))
    assert lines[-1] == f"  go on with: pytest {names} --repro-runs=2 --repro-all"
    assert unfinished_lines([entry("a", cause=ENTROPY)]) == []


def timed(first_s: float, further_s: float, engine: str = "in_process", diagnosis_s: float = 0.0) -> ReportedTest:
    runs = ReportedRun(1, duration_s=first_s), ReportedRun(2, duration_s=further_s, engine=engine)
    found = ReportedDiagnosis(seconds=diagnosis_s, cpu_s=diagnosis_s / 2) if diagnosis_s else None
    return ReportedTest("t.py::slow", Verdict.IDENTICAL, 0, runs=runs, diagnosis=found)


def test_the_cost_is_shown_where_it_is_large_with_what_makes_it_cheaper() -> None:
    assert cost_lines([timed(14, 14)]) == []
    assert cost_lines([timed(20, 20)]) == ["cost: 20 s for the first runs, 20 s for further runs"]
    text = "\n".join(cost_lines([timed(20, 20, diagnosis_s=200)]))
    assert "200 s for diagnoses (100 s of CPU time)" in text
    assert "--repro-budget=2m" in text
    assert "fresh interpreter" in cost_lines([timed(20, 200, "spawn")])[1]
    assert "t.py::slow 200 s" in cost_lines([timed(20, 200)])[1]
    assert "-n auto" in cost_lines([timed(20, 20) for _ in range(20)])[1]
