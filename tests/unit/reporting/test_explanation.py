"""The text of `pytest-repro explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.cli import main
from pytest_repro.errors import UsageError
from pytest_repro.model.reported import ReportedTest
from pytest_repro.reporting.explanation import NO_DIAGNOSIS, explain_tests, find_diverged
from tests.unit.reporting.html.reading import case, document, read

CAUSE = {
    "code": "rng.os_entropy",
    "axis": None,
    "confidence": "probed",
    "location": {"file": "a.py", "line": 3, "function": "f", "source": "rng = default_rng()"},
    "evidence": "with entropy pinned, 4 of 4 runs were identical",
    "fix": "give it a seed",
}
ROW = {"file": "a.py", "line": 3, "function": "f", "source": "rng = default_rng()", "differs": True}


def entry(nodeid: str = "test_a.py::test_fit", **diagnosis: Any) -> dict[str, Any]:
    """Return a test that diverged, as the document has it."""
    first = {"file": "a.py", "line": 3, "function": "f", "name": "rng", "step": None, "module": "", "op": ""}
    found = {"causes": [CAUSE], "first_divergence": first, "ruled_out": ["time"], "seconds": 1.0, "complete": True}
    rows = [{**ROW, "expected": "rng = 1", "actual": ""}]
    return case(nodeid, "diverged", diagnosis={**found, "rows": rows, **diagnosis})


def diverged(*args: Any, **diagnosis: Any) -> ReportedTest:
    return read(entry(*args, **diagnosis))[0]


def test_it_has_place_cause_fix_and_both_traces() -> None:
    assert explain_tests([diverged()]).splitlines() == [
        "test_a.py::test_fit",
        "  where   a.py:3 in f: `rng` differs first",
        "  cause   rng.os_entropy: with entropy pinned, 4 of 4 runs were identical",
        "  fix     a.py:3: give it a seed",
        "          ruled out: clock",
        "",
        "  > a.py:3                   rng = default_rng()",
        "      run 1  rng = 1",
        "      other  (not reached)",
    ]


def test_rows_that_match_are_shown_once_and_long_ones_cut() -> None:
    rows = [{**ROW, "source": "x" * 200, "expected": "y" * 200, "actual": "z", "differs": False}]
    row, both = explain_tests([diverged(rows=rows)]).splitlines()[-2:]
    assert row == f"    a.py:3                   {'x' * 77}..."
    assert both == f"      both   {'y' * 87}..."


def test_without_a_cause_it_lists_what_was_ruled_out() -> None:
    assert "  cause   unknown; ruled out: clock" in explain_tests([diverged(causes=[])])
    assert explain_tests(read(case("a.py::t", "diverged"))) == f"a.py::t\n  {NO_DIAGNOSIS}"
    assert explain_tests([]) == "no test diverged"


def test_text_of_a_hostile_file_reaches_no_terminal_unescaped() -> None:
    assert "\x1b" not in explain_tests([diverged(nodeid="test_\x1b[2Ja.py::t")])
    bad = "\x1b[2J"
    place = {"file": bad, "line": 3, "function": bad, "name": bad, "source": bad, "expected": bad, "actual": bad}
    cause = {"code": bad, "evidence": bad, "fix": bad, "location": place}
    for first in (place, {**place, "kind": "operation", "module": bad, "op": bad}, None):
        rows = [{**place, "differs": True}, place]
        text = explain_tests([diverged(first_divergence=first, rows=rows, causes=[cause], ruled_out=[bad])])
        assert "\x1b" not in text
        assert text.count("\\x1b[2J") > 5


def test_a_test_is_found_by_the_end_of_its_name() -> None:
    tests = [diverged(), diverged("test_b.py::test_fit"), diverged("test_b.py::test_other")]
    assert find_diverged(tests, "test_other") == [tests[2]]
    with pytest.raises(UsageError, match="2 tests have the name 'test_fit'"):
        find_diverged(tests, "test_fit")
    with pytest.raises(UsageError, match="no test has the name 'absent'"):
        find_diverged(tests, "absent")


def test_a_test_that_did_not_diverge_has_nothing_to_explain() -> None:
    assert find_diverged(read(case("a.py::same"), entry("a.py::other")), "same") == []
    assert [test.nodeid for test in find_diverged(read(case("a.py::same"), entry("a.py::other")), None)] == [
        "a.py::other"
    ]


@pytest.mark.parametrize("key", ["causes", "rows", "ruled_out", "first_divergence"])
@pytest.mark.parametrize("wrong", [5, "text", [1], {"a": 1}], ids=str)
def test_a_malformed_diagnosis_is_rejected_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, wrong: object
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document(entry(**{key: wrong}))), encoding="utf-8")
    assert main(["explain", str(path)]) == 2
    assert f"tests[0].diagnosis.{key}" in capsys.readouterr().err


def test_the_commands_exit_status_is_one_if_something_diverged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document(entry())), encoding="utf-8")
    assert main(["explain", str(path)]) == 1
    assert "rng.os_entropy" in capsys.readouterr().out
    assert main(["explain", "--json", str(path)]) == 1
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["nodeid"], shown["diagnosis"]["causes"]) == ("test_a.py::test_fit", [CAUSE])
    path.write_text(json.dumps(document()), encoding="utf-8")
    assert main(["explain", str(path)]) == 0
    assert main(["explain", str(tmp_path / "absent.json")]) == 2


def test_sources_that_are_ruled_out_have_plain_names_each_of_them_once() -> None:
    (test,) = [diverged(ruled_out=["serial", "foreign", "heap", "address", "shift", "isa"])]
    assert "          ruled out: task order, other libraries' generators, addresses, isa" in explain_tests([test])
