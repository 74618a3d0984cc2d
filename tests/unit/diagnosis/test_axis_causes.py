from __future__ import annotations

import pytest

from pytest_repro.axes import BUILT_IN_NAMES
from pytest_repro.diagnosis.axis_causes import name_causes
from pytest_repro.model import TestResult, Verdict


def result(matrix: dict[str, str], blamed: dict[int, list[str]], verdict: Verdict = Verdict.DIVERGED) -> TestResult:
    return TestResult("test_it.py::test_a", verdict, 0, matrix=matrix, blamed=blamed)


def test_a_blamed_axis_names_its_cause_with_the_axes_that_agreed_as_evidence() -> None:
    (cause,) = name_causes(result({"hash_seed": "diverged", "timezone": "identical"}, {2: ["hash_seed"]}))
    assert (cause.code, cause.axis) == ("hash.str_hashseed", "hash_seed")
    assert "timezone varied alone changes nothing" in cause.evidence
    assert "sorted" in cause.fix


@pytest.mark.parametrize("cell", ["unstable", "not_isolated", "not_varied", "identical"])
def test_an_axis_that_was_not_shown_to_be_to_blame_names_no_cause(cell: str) -> None:
    assert name_causes(result({"threads": cell}, {2: ["threads"]})) == []


def test_nothing_blamed_names_nothing() -> None:
    assert name_causes(result({"threads": "diverged"}, {2: []})) == []


@pytest.mark.parametrize("verdict", [Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE, Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_only_a_divergence_has_a_cause(verdict: Verdict) -> None:
    assert name_causes(result({"clock": "diverged"}, {2: ["clock"]}, verdict)) == []


def test_an_axis_blamed_in_two_runs_is_told_once() -> None:
    causes = name_causes(result({"clock": "diverged"}, {2: ["clock"], 3: ["clock"]}))
    assert [cause.code for cause in causes] == ["time.now"]


def test_every_axis_but_a_bare_process_stands_for_a_cause() -> None:
    without = [axis for axis in BUILT_IN_NAMES if not name_causes(result({axis: "diverged"}, {2: [axis]}))]
    # A fresh process differs in addresses, its id and entropy drawn at import: which one it was is open.
    assert without == ["process"]


def test_an_argument_of_the_test_is_blamed_without_a_guess_at_the_cause() -> None:
    assert name_causes(result({"num_workers": "diverged"}, {2: ["num_workers"]})) == []
