"""The command `pytest-repro show`: one meaning for each file name, whatever the file holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_repro.cli import main
from tests.unit.records import helpers
from tests.unit.records.folders import Test, collect
from tests.unit.reporting.html.reading import case, document


def show(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> tuple[int, str, str]:
    status = main(["show", str(path), *options])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def make_report(folder: Path, **changes: object) -> Path:
    tests = [
        case("t.py::test_good"),
        case("t.py::test_bad\x1b[2J", "diverged"),
        case("t.py::test_none", "inconclusive"),
    ]
    path = folder / "report.json"
    path.write_text(json.dumps({**document(*tests), **changes}), encoding="utf-8")
    return path


def make_bundle(folder: Path) -> Path:
    folder.mkdir()
    for name, data in helpers.make_files(helpers.a_test(), helpers.a_test("test_a.py::test_other")).items():
        (folder / name).write_bytes(data)
    return folder


def test_a_report_is_shown_with_its_counts_and_the_worst_tests_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_report(tmp_path)
    status, text, _ = show(capsys, path)
    assert status == 0
    assert text.startswith("report of 3 tests: 1 identical, 1 diverged, 1 inconclusive\n")
    assert text.index("test_bad") < text.index("test_none") < text.index("test_good")
    assert "pytest-repro explain" in text
    assert "\x1b" not in text
    status, text, _ = show(capsys, path, "--json")
    assert (status, len(json.loads(text)["tests"])) == (0, 3)


def test_an_unfinished_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = show(capsys, make_report(tmp_path, is_finished=False))
    assert "unfinished" in text


def test_a_damaged_report_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = show(capsys, make_report(tmp_path, schema_version=9))
    assert (status, "neither a record nor a report" in error, "schema_version is 9" in error) == (2, True, True)


def test_a_bundle_is_shown_by_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_bundle(tmp_path / "bundle")
    status, text, _ = show(capsys, folder)
    assert status == 0, text
    assert text.startswith("bundle of evidence of 2 tests: 2 identical\n")
    assert "signature none" in text
    _, text, _ = show(capsys, folder, "--json")
    assert [test["nodeid"] for test in json.loads(text)["tests"]] == ["test_a.py::test_fit", "test_a.py::test_other"]


def test_a_bundle_with_a_changed_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_bundle(tmp_path / "bundle")
    path = folder / "evidence.json"
    path.write_bytes(path.read_bytes().replace(b"identical", b"diverged "))
    status, text, error = show(capsys, folder)
    assert (status, text) == (2, "")
    assert "evidence.json" in error


@pytest.mark.parametrize("name", ["evidence.json", "record.json", "statement.json"])
def test_a_file_of_a_bundle_is_no_record_whatever_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    status, _, error = show(capsys, make_bundle(tmp_path / "bundle") / name)
    assert (status, "is a part of a bundle of evidence: show its folder" in error) == (2, True)


def test_a_collection_is_shown_by_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = {"t.py::test_a": Test(1.0), "t.py::test_b": Test(status="failed", reason="it raised\nmore")}
    collect(tmp_path / "laptop", tests)
    status, text, _ = show(capsys, tmp_path / "laptop")
    assert status == 0, text
    assert text.startswith("collection laptop of 2 tests: 1 recorded, 1 failed\n")
    assert "  failed    t.py::test_b: it raised\n" in text
    status, _, error = show(capsys, tmp_path / "laptop" / "collection.json")
    assert (status, "is a part of a collection" in error) == (2, True)


def test_a_collection_with_a_missing_record_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect(tmp_path / "laptop", {"t.py::test_a": Test(1.0)})
    next((tmp_path / "laptop").glob("*test_a*.json")).unlink()
    status, text, error = show(capsys, tmp_path / "laptop")
    assert (status, text, "collect again" in error or "missing" in error) == (2, "", True)


def test_a_folder_of_records_names_one_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = helpers.write(tmp_path)
    status, _, error = show(capsys, tmp_path)
    assert (status, f"folder of 1 record: name one of them, as in {path}" in error) == (2, True)
    assert show(capsys, path)[0] == 0


def test_any_other_folder_or_file_is_an_error_that_says_what_is_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "neither a bundle of evidence" in show(capsys, tmp_path)[2]
    (tmp_path / "a.json").write_text("[1]", encoding="utf-8")
    status, _, error = show(capsys, tmp_path / "a.json")
    assert (status, "not a record" in error) == (2, True)
    assert show(capsys, tmp_path / "none.json")[0] == 2


def test_python_m_runs_the_command_and_prints_the_versions() -> None:
    arguments = [sys.executable, "-m", "pytest_repro", "--version"]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("pytest-repro ")
    assert f"pytest {pytest.__version__}" in ended.stdout
