"""A scan of many tests: its summary in groups, its budget, and the commands that read its reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.reporting.history_text
import pytest_repro.reporting.known_text  # noqa: F401
from pytest_repro.cli import main
from tests.plugin.helpers import Sessions

MANY = """
    import os
    import pytest

    @pytest.mark.parametrize("n", range(12))
    def test_draws(n):
        value = os.urandom(4)
"""


def test_many_findings_are_shown_in_groups_and_all_of_them_with_v(sessions: Sessions) -> None:
    session = sessions.run(MANY, "--repro-all")
    summary = session.text.split("= reproducibility =")[1].split("short test summary")[0]
    assert "   12 tests  no diagnosis was made" in summary
    assert summary.count("test_draws") == 1
    summary = sessions.run(MANY, "--repro-all", "-v").text.split("= reproducibility =")[1].split("short test")[0]
    assert summary.count("test_draws") == 12


def test_what_the_session_budget_leaves_out_is_named(sessions: Sessions) -> None:
    source = MANY.replace("range(12)", "range(2)")
    session = sessions.run(source, "--repro-all", "--repro-diagnose", "--repro-budget=0.01")
    assert "2 tests were not diagnosed to the end, since --repro-budget was spent:" in session.text
    assert "  go on with: pytest 'test_it.py::test_draws[0]' 'test_it.py::test_draws[1]'" in session.text
    assert session.test("test_draws[0]")["diagnosis"]["stopped_by"] == "session"
    assert session.test("test_draws[0]")["diagnosis"]["complete"] is False
    assert session.verdicts == {"test_draws[0]": "diverged", "test_draws[1]": "diverged"}


@pytest.fixture
def report(sessions: Sessions) -> Path:
    sessions.run("import os\nimport pytest\n@pytest.mark.reproducible\ndef test_it(): return os.urandom(4)\n")
    return sessions.folder / "report.json"


def test_known_without_write_changes_nothing_and_has_exit_status_1(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["known", str(report)]) == 1
    assert "not written (--write FILE does): 1 finding, 1 new" in capsys.readouterr().out
    assert not [path for path in report.parent.iterdir() if path.name.startswith("known")]
    assert main(["known", str(report), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["added"] == ["test_it.py::test_it"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--expires", "2020-01-01"], "--expires=2020-01-01 is in the past"),
        (["--expires", "tomorrow"], "--expires must be a day such as 2027-03-31, got 'tomorrow'"),
        (["--reason", "x" * 1001], "--reason has 1,001 characters"),
    ],
)
def test_a_wrong_date_or_reason_is_refused(
    report: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = report.parent / "known.json"
    assert main(["known", str(report), "--write", str(path), *options]) == 2
    assert words in capsys.readouterr().err
    assert not path.exists()


def test_a_broken_file_is_never_overwritten(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = report.parent / "known.json"
    path.write_text("{")
    assert main(["known", str(report), "--write", str(path)]) == 2
    assert path.read_text() == "{"
    assert "known.json is not a file of known findings" in capsys.readouterr().err


def test_the_history_of_reports_is_a_table_a_document_and_a_page(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = report.parent / "good.json"
    document = json.loads(report.read_text())
    document["tests"][0] |= {"verdict": "identical", "divergences": [], "diagnosis": None}
    good.write_text(json.dumps({**document, "started": "2020-01-01T00:00:00+00:00"}))
    page = report.parent / "page.html"
    capsys.readouterr()
    assert main(["history", str(report), str(good), "--html", str(page)]) == 1
    text = capsys.readouterr().out
    assert "2 reports from 2020-01-01 to" in text
    assert "last good   at good.json (2020-01-01 00:00)" in text
    assert "<polyline" in page.read_text()
    assert main(["history", str(good)]) == 0
    assert main(["history", str(report), str(good), "--json"]) == 1
    assert '"last_good": 0' in capsys.readouterr().out
    good.write_text("{}")
    assert main(["history", str(good)]) == 2
    assert "good.json is not a report" in capsys.readouterr().err
