"""Results as JSON: built-in types only, and the file complete or not at all."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare_artifacts
from pytest_repro.errors import StoreError
from pytest_repro.model import (
    ArtifactComparison,
    Cause,
    Comparison,
    Condition,
    Diagnosis,
    EquivalenceFinding,
    RunResult,
    TestResult,
    Tolerance,
    TolerancePolicy,
    Verdict,
)
from pytest_repro.model.codec import decode
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.reporting.json_report import (
    MAX_DIVERGENCES,
    junit_properties,
    read_report,
    report_result,
    result_to_json,
    write_json_report,
)


def result_of(expected: Any, actual: Any, tolerance: Tolerance | None = None) -> TestResult:
    """Return the result of two runs."""
    policy = TolerancePolicy.of(tolerance) if tolerance else TolerancePolicy()
    comparison = compare_artifacts(capture_tree(actual), capture_tree(expected), policy)
    run = RunResult(2, Condition((("threads", 3),)))
    return TestResult("t.py::t", comparison.verdict, 5, runs=[RunResult(1), run], comparisons=[(run, comparison)])


def assert_built_in(value: Any) -> None:
    """Check that execnet, which takes nothing else, could carry the value."""
    assert type(value) in (dict, list, str, int, float, bool, type(None)), type(value)
    for child in (
        [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        assert_built_in(child)


@pytest.mark.parametrize(
    "expected, actual",
    [
        (np.float32([1, 2]), np.float32([1, 3])),
        (np.float64([1.7e308]), np.float64([-1.7e308])),
        (np.float64([1.0]), np.float64([math.nan])),
        (np.int64([2**63 - 1]), np.int64([-(2**63)])),
        (2**80, 2**80 + 1),
        (np.zeros((2, 0)), np.zeros((3, 0))),
        ("\ud800", "x"),
        (b"1", b"2"),
        (1, True),
        ({"a": 1}, {"b": 1}),
        (1 + 2j, 1 - 2j),
    ],
)
def test_every_figure_is_of_a_built_in_type_that_any_reader_accepts(expected: Any, actual: Any) -> None:
    result = result_of(expected, actual)
    document = result_to_json(result)
    # Of a text that looks like an escape, the backslash is doubled on the way.
    assert decode(ReportedTest, document) == report_result(result) or expected == "\ud800"
    assert_built_in(document)
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    assert document["divergences"]
    for divergence in document["divergences"]:
        for figure in divergence.values():
            assert not isinstance(figure, int) or abs(figure) <= 2**53
            assert not isinstance(figure, float) or math.isfinite(figure)


def test_a_divergence_names_its_run_and_the_axis_that_varied() -> None:
    document = result_to_json(result_of(1.0, 2.0))
    (divergence,) = document["divergences"]
    assert (divergence["run"], divergence["axis"], divergence["axes"]) == (2, "threads", ["threads"])
    result = result_of(1.0, 2.0)
    result.blamed[2] = []
    assert result_to_json(result)["divergences"][0]["axis"] is None


def test_a_tolerated_difference_is_not_a_divergence() -> None:
    document = result_to_json(result_of(np.float64(1), np.float64(1 + 2**-52), Tolerance(max_ulp=1)))
    assert document["verdict"] == "within_tolerance"
    assert document["divergences"] == []
    assert document["largest_tolerated"]["max_ulp"] == 1


def test_divergences_beyond_the_limit_are_counted() -> None:
    many = {f"x{i}": 0 for i in range(MAX_DIVERGENCES + 5)}
    document = result_to_json(result_of(many, dict.fromkeys(many, 1)))
    assert len(document["divergences"]) == MAX_DIVERGENCES
    assert document["divergences_left_out"] == 5


def test_the_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    write_json_report(path, ReportedSession((report_result(result_of(1, 2)),)))
    before = path.read_text()
    assert json.loads(before)["schema_version"] == 1
    with pytest.raises(TypeError):
        write_json_report(path, ReportedSession((), code={"x": object()}))  # type: ignore[dict-item]
    assert path.read_text() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_report_of_nothing_is_a_report() -> None:
    document = result_to_json(TestResult("t", Verdict.INCONCLUSIVE, 0))
    assert (document["runs"], document["divergences"], document["largest_tolerated"]) == ([], [], None)
    assert document["compared"] == {"artifacts": 0, "elements": 0}


def test_the_trials_of_an_assertion_count_as_comparisons() -> None:
    far = ArtifactComparison("y", "values", within=False, max_ulp=7)
    near = ArtifactComparison("y", "values", within=True, max_ulp=3)
    trials = (("halves", Comparison((far,), 1, 9)), ("thirds", Comparison((near,), 1, 9)))
    finding = EquivalenceFinding("batch", "assert_batch_invariant", Verdict.DIVERGED, "diverged", "m", "y", (), trials)
    result = TestResult("t", Verdict.DIVERGED, 0, runs=[RunResult(1, equivalences=[finding])])
    document = result_to_json(result)
    assert [(d["run"], d["axis"], d["axes"], d["max_ulp"]) for d in document["divergences"]] == [
        (1, "batch", ["batch"], 7)
    ]
    assert document["largest_tolerated"]["max_ulp"] == 3
    assert document["compared"] == {"artifacts": 1, "elements": 9}
    (equivalence,) = document["equivalences"]
    assert equivalence["trials"] == [
        {"varied": "halves", "verdict": "diverged"},
        {"varied": "thirds", "verdict": "within_tolerance"},
    ]


def test_a_diagnosis_rules_out_the_axes_that_changed_nothing() -> None:
    matrix = {"cwd": "identical", "threads": "diverged", "clock": "within_tolerance"}
    result = TestResult("t", Verdict.DIVERGED, 0, matrix=matrix)
    assert result_to_json(result)["diagnosis"] is None
    result.causes = [Cause("rng.os_entropy", "", "e", "f")]
    document = result_to_json(result)["diagnosis"]
    assert (document["ruled_out"], document["complete"]) == (["cwd", "clock"], False)
    assert document["causes"][0]["axis"] is None
    result.diagnosis = Diagnosis(ruled_out=["time", "cwd"], seconds=2.5)
    document = result_to_json(result)["diagnosis"]
    assert (document["ruled_out"], document["complete"]) == (["cwd", "clock", "time"], True)


def test_junit_has_the_digest_of_run_1_if_there_is_one() -> None:
    result = TestResult("t", Verdict.IDENTICAL, 5, runs=[RunResult(1), RunResult(2, digest="sha256:2")])
    assert junit_properties(result) == [("repro_verdict", "identical"), ("repro_seed", 5)]
    result.runs[0].digest = "sha256:1"
    assert junit_properties(result)[-1] == ("repro_digest", "sha256:1")
    assert all(type(value) in (str, int) for _, value in junit_properties(result))


@pytest.mark.parametrize(
    ("kind", "command"), [("record", "show"), ("evidence", "verify"), ("session record", "verify")]
)
def test_another_document_of_this_package_is_named_with_the_command_that_reads_it(
    tmp_path: Path, kind: str, command: str
) -> None:
    path = tmp_path / "it.json"
    path.write_text(json.dumps({"format": f"pytest-repro {kind}"}))
    with pytest.raises(StoreError, match=f"it.json is not a report of --repro-json: .*`pytest-repro {command}` reads"):
        read_report(path)
