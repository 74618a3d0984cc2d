"""`--repro-json` by its schema, for each verdict, and the terminal's summary."""

from __future__ import annotations

import datetime
import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from pytest_repro.model.reported import decode_session, encode_session
from pytest_repro.reporting.json_report import read_report
from tests.plugin.helpers import Sessions

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "repro-json-1.schema.json"

EVERY_VERDICT = """
    import itertools
    import math

    import numpy as np
    import pytest

    calls = itertools.count()

    @pytest.mark.reproducible
    def test_identical():
        return {"a": np.ones((2, 3), np.float32), "b": True, "c": None, "d": "text", "e": 2**70}

    @pytest.mark.reproducible(max_ulp=4)
    def test_within():
        return np.float32(1) + np.float32(next(calls) * 2.0**-22)

    @pytest.mark.reproducible(runs=3)
    def test_diverged():
        n = next(calls)
        return {
            "values": np.arange(4.0) + n,
            "shape": np.zeros(n),
            "dtype": np.zeros(2, [np.float32, np.float64][n % 2]),
            "nan": np.array([1.0, math.nan if n % 2 else 1.0]),
            "inf": np.array([1.0, math.inf if n % 2 else 1.0]),
            "type": 1 if n % 2 else "1",
            "kind": [1] if n % 2 else {"x": 1},
            "big": 2**70 + n,
            "huge": np.array([2**63 - 1 if n % 2 else 1]),
            "far": np.array([-1.7e308 if n % 2 else 1.7e308]),
            "text": f"run {n}",
            f"named {n}": n,
            "empty": [],
        }

    @pytest.mark.reproducible
    def test_inconclusive():
        pass

    @pytest.mark.reproducible
    def test_skipped():
        pytest.skip("why not")

    @pytest.mark.reproducible
    def test_error():
        raise OSError("by itself")

    @pytest.mark.reproducible(across={"size": [1, 2]})
    def test_across(size):
        return size * 2.5

    @pytest.mark.reproducible
    @pytest.mark.parametrize("name", ["\\u00fc[/\\u2028", "a::b"])
    def test_names(name):
        return name
"""


@pytest.mark.needs("jsonschema")
def test_every_verdict_is_written_by_the_schema(sessions: Sessions) -> None:
    import jsonschema

    session = sessions.run(EVERY_VERDICT)
    verdicts = list(session.verdicts.values())
    assert verdicts[:7] == [
        "identical",
        "within_tolerance",
        "diverged",
        "inconclusive",
        "inconclusive",
        "error",
        "diverged",
    ], session.text
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    problems = [f"{list(e.path)}: {e.message[:200]}" for e in validator.iter_errors(session.report)]
    assert problems == []
    assert encode_session(decode_session(session.report)) == session.report
    known = {place: set(schema["$defs"][place]["properties"]) for place in ("test", "run")}
    for test in (session.report or {})["tests"]:
        assert set(test) <= known["test"]
        assert all(set(run) <= known["run"] for run in test["runs"])


def test_the_figures_are_those_of_the_comparison(sessions: Sessions) -> None:
    session = sessions.run(EVERY_VERDICT, "-k", "diverged or within or identical")
    diverged = session.test("test_diverged")
    assert [run["index"] for run in diverged["runs"]] == [1, 2, 3]
    of_run_2 = {d["artifact"]: d for d in diverged["divergences"] if d["run"] == 2}
    values = of_run_2["values"]
    assert (values["kind"], values["elements"], values["differing"]) == ("values", 4, 4)
    assert (values["max_abs"], values["first_index"], values["axis"]) == (1.0, [0], None)
    assert of_run_2["shape"]["kind"] == "shape"
    assert of_run_2["dtype"]["kind"] == "dtype"
    assert of_run_2["nan"]["kind"] == "nan"
    assert of_run_2["inf"]["max_ulp"] is None
    assert isinstance(of_run_2["far"]["max_ulp"], str)
    assert of_run_2["far"]["max_abs"] in ("inf", pytest.approx(3.4e308))
    kinds = {d["kind"] for d in of_run_2.values()}
    assert {"missing", "extra", "type"} <= kinds
    tolerated = session.test("test_within")["largest_tolerated"]
    assert (tolerated["max_ulp"], tolerated["artifact"]) == (2, "result")
    one, two = (run["digest"] for run in session.test("test_identical")["runs"])
    assert one == two
    assert one.startswith("sha256:")
    digests = [run["digest"] for run in diverged["runs"]]
    assert len(set(digests)) == 3


def test_a_run_without_results_has_no_digest(sessions: Sessions) -> None:
    session = sessions.run(EVERY_VERDICT, "-k", "inconclusive or error or skipped")
    assert {run["digest"] for test in (session.report or {})["tests"] for run in test["runs"]} == {None}


def test_the_summary_counts_by_verdict_and_names_the_failing_tests(sessions: Sessions) -> None:
    session = sessions.run(EVERY_VERDICT, "-k", "not names", json_report=False)
    lines = session.text.splitlines()
    start = next(i for i, line in enumerate(lines) if "= reproducibility =" in line)
    section = lines[start + 1 :]
    assert (
        "2 diverged, 1 error, 1 inconclusive, 1 within tolerance, 1 identical, 1 skipped (7 tests, --repro-seed=0)"
        in section
    )
    assert "  diverged      test_it.py::test_diverged" in section
    assert "  error         test_it.py::test_error" in section
    assert not any(line.startswith("  identical") for line in section)
    assert any(line.startswith("largest difference tolerated: 2 ulp") for line in section)
    claim = "2 matching runs are weak evidence: a fault that shows in up to 95 % of runs could still be missed"
    assert any(line.startswith(claim) for line in section)


@pytest.mark.needs("jsonschema")
def test_the_environment_and_the_code_are_collected_once_for_all_reports(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jsonschema

    monkeypatch.chdir(sessions.folder)
    git("init", "-q")
    git("add", ".")
    sessions.write(EVERY_VERDICT)
    git("add", "test_it.py")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    options = ["-k", "identical", "--repro-html=page.html", "--repro-evidence=bundle", "--repro-record=records"]
    report = sessions.run(None, *options).report or {}
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    record = json.loads(Path("bundle/record.json").read_text())
    assert report["environment"] == record["environment"]
    assert report["environment"]["packages"]["numpy"]["numerical"]
    assert report["code"] == record["code"]
    assert not report["code"]["dirty"], "the session's own output does not change the code"
    assert report["code"]["commit"] in Path("page.html").read_text()
    # The second session finds the files of the first one, and ignores only its own.
    assert (sessions.run(None, "-k", "identical").report or {})["code"]["changed_count"] > 3


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def test_without_a_test_no_environment_is_collected(sessions: Sessions) -> None:
    session = sessions.run("def test_plain(): pass")
    assert session.report is not None
    assert set(session.report) == {"schema_version", "tests", "is_finished", "pytest", "started", "tool"}
    assert session.report["tests"] == []


def test_the_start_the_release_and_the_time_of_the_commit_are_in_the_report(sessions: Sessions) -> None:
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it(): return 1\n"
    sessions.write(source)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (["init", "-q"], ["add", "test_it.py"], [*identity, "commit", "-qm1"]):
        subprocess.run(["git", *command], check=True, cwd=sessions.folder, capture_output=True)
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    report = sessions.run().report
    assert report is not None
    assert before <= datetime.datetime.fromisoformat(report["started"])
    assert report["tool"] == version("pytest-repro")
    assert abs(datetime.datetime.fromisoformat(report["committed"]) - before) < datetime.timedelta(minutes=5)
    assert report["code"]["commit"]
    assert report["code"]["dirty"] is False


def test_a_report_of_an_older_release_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"schema_version": 1, "tests": [{"nodeid": "t.py::a", "verdict": "diverged", "seed": 0}]}')
    session = read_report(path)
    assert (session.started, session.tool, session.not_checked, session.tests[0].acceptance) == ("", "", (), None)


def test_a_session_without_such_tests_prints_nothing(sessions: Sessions) -> None:
    session = sessions.run("def test_it():\n    pass\n", json_report=False)
    assert "repro" not in session.text.replace(str(sessions.folder), "").replace(sessions.folder.name, "")


def test_a_relative_path_is_below_the_directory_of_the_session_and_is_overwritten(sessions: Sessions) -> None:
    (sessions.folder / "out").mkdir()
    path = sessions.folder / "out" / "r.json"
    path.write_text("old")
    source = (
        "import os, pytest\n@pytest.mark.reproducible\ndef test_it(tmp_path):\n    os.chdir(tmp_path)\n    return 1\n"
    )
    session = sessions.run(source, "--repro-json=out/r.json", json_report=False)
    assert "written to out/r.json" in session.text
    assert json.loads(path.read_text())["tests"][0]["verdict"] == "identical"
    assert [p.name for p in path.parent.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("option", "is_compared"),
    [("--repro-html=r.html", False), ("--repro-evidence=bundle", True), ("--repro-record=records", True)],
)
def test_files_of_packages_are_compared_only_where_somebody_else_relies_on_them(pytester, option, is_compared):
    pytester.makepyfile("import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1\n")
    pytester.runpytest_subprocess("--repro-json=r.json", option).assert_outcomes(passed=1)
    found = json.loads((pytester.path / "r.json").read_text())["environment"]["package_files"]
    assert ("changed" in found, "unavailable" in found) == (is_compared, not is_compared)
