from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.cli import main
from pytest_repro.errors import StoreError, UsageError
from pytest_repro.reporting.explanation import explain_tests, find_diverged, read_report

CAUSE = {
    "code": "rng.os_entropy",
    "axis": None,
    "confidence": "probed",
    "location": {"file": "a.py", "line": 3, "function": "f", "source": "rng = default_rng()"},
    "evidence": "with entropy held still, 4 of 4 runs agree",
    "fix": "give it a seed",
}
ROW = {"file": "a.py", "line": 3, "function": "f", "source": "rng = default_rng()", "differs": True}


def diverged(nodeid: str = "test_a.py::test_fit", **diagnosis: Any) -> dict[str, Any]:
    first = {"file": "a.py", "line": 3, "function": "f", "name": "rng", "step": None, "module": "", "op": ""}
    found = {"causes": [CAUSE], "first_divergence": first, "ruled_out": ["time"], "seconds": 1.0, "complete": True}
    rows = [{**ROW, "expected": "rng = 1", "actual": ""}]
    return {"nodeid": nodeid, "verdict": "diverged", "diagnosis": {**found, "rows": rows, **diagnosis}}


def test_it_tells_place_cause_fix_and_both_traces() -> None:
    text = explain_tests([diverged()])
    assert "where   a.py:3 in f: `rng` is the first value that differs" in text
    assert "cause   rng.os_entropy: with entropy held still" in text
    assert "run 1  rng = 1" in text
    assert "other  (not reached)" in text


def test_no_cause_is_told_as_unknown_with_what_was_ruled_out() -> None:
    text = explain_tests([diverged(causes=[])])
    assert "cause   unknown" in text
    assert "not     time" in text


def test_text_of_a_hostile_file_reaches_no_terminal_as_it_is() -> None:
    assert "\x1b" not in explain_tests([diverged(nodeid="test_\x1b[2Ja.py::t")])
    bad = "\x1b[2J"
    place = dict.fromkeys(("file", "line", "function", "name", "source", "expected", "actual", "code", "evidence"), bad)
    told = {"first_divergence": place, "rows": [{**place, "differs": True}, place], "causes": [place]}
    assert "\x1b" not in explain_tests([diverged(**told, ruled_out=[bad])])


@pytest.mark.parametrize("wrong", [5, "text", [1], [None], {"a": 1}])
@pytest.mark.parametrize("key", ["causes", "rows", "ruled_out", "first_divergence"])
def test_a_diagnosis_of_another_shape_is_told_as_far_as_it_can_be(key: str, wrong: object) -> None:
    test = {"nodeid": "a.py::t", "verdict": "diverged", "diagnosis": {key: wrong}}
    assert explain_tests([test]).splitlines()[0] == "a.py::t"


def test_a_test_is_found_by_the_end_of_its_name() -> None:
    tests = [diverged(), diverged("test_b.py::test_fit"), diverged("test_b.py::test_other")]
    assert find_diverged(tests, "test_other") == [tests[2]]
    with pytest.raises(UsageError, match="2 tests"):
        find_diverged(tests, "test_fit")
    with pytest.raises(UsageError, match="no test"):
        find_diverged(tests, "absent")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tests": [1]}', "[" * 100_000])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"is no report of --repro-json"):
        read_report(path)


def test_the_command_ends_with_one_where_something_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"schema_version": 1, "tests": [diverged()]}), encoding="utf-8")
    assert main(["explain", str(path)]) == 1
    assert "rng.os_entropy" in capsys.readouterr().out
    path.write_text(json.dumps({"schema_version": 1, "tests": []}), encoding="utf-8")
    assert main(["explain", str(path)]) == 0
    assert main(["explain", str(tmp_path / "absent.json")]) == 2
