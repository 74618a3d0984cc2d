"""--repro-evidence: a complete bundle of a real session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.session.evidence  # noqa: F401
from pytest_repro.records.attestation import check_files
from tests.plugin.helpers import Sessions

SOURCE = """
    import itertools
    import pytest

    calls = itertools.count()

    @pytest.mark.reproducible
    def test_same(): return 1.5

    @pytest.mark.reproducible
    def test_other(): return next(calls)

    @pytest.mark.reproducible
    def test_skipped(): pytest.skip("no data")
"""


@pytest.mark.parametrize(
    "plugins", [(), pytest.param(("xdist",), marks=pytest.mark.needs("xdist"))], ids=["alone", "xdist"]
)
def test_a_session_writes_a_complete_bundle(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, plugins: tuple[str, ...]
) -> None:
    monkeypatch.chdir(sessions.folder)
    session = sessions.run(SOURCE, "--repro-evidence=bundle", *(["-n2"] if plugins else []), plugins=plugins)
    assert session.exitcode == 1
    directory = sessions.folder / "bundle"
    predicate = check_files(directory)["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["passedTests"] == ["test_it.py::test_same"]
    assert predicate["failedTests"] == ["test_it.py::test_other"]
    evidence = json.loads((directory / "evidence.json").read_bytes())
    assert evidence["verdicts"]["test_it.py::test_skipped"] == "inconclusive"
    assert evidence["circumstances"]["command"].startswith("pytest ")
    record = json.loads((directory / "record.json").read_bytes())
    (same,) = (test for test in record["tests"] if test["test"].endswith("test_same"))
    assert len(set(same["digests"])) == 1
    assert same["digests"][0].startswith("sha256:")
    assert "python" in record["environment"]
    assert "run 2: result, 1 of 1 differ" in (directory / "summary.md").read_text(encoding="utf-8")


def test_a_bundle_that_cannot_be_written_fails_the_session(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sessions.folder)
    Path("file").write_text("")
    session = sessions.run(
        "import pytest\n@pytest.mark.reproducible\ndef test_a(): return 1\n", "--repro-evidence=file/b"
    )
    assert session.exitcode == 4
    assert "cannot write the evidence" in session.text


def test_a_session_without_reproducible_tests_does_not_pass(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sessions.folder)
    assert sessions.run("def test_a(): pass\n", "--repro-evidence=bundle").exitcode == 0
    assert check_files(sessions.folder / "bundle")["predicate"]["result"] == "FAILED"
