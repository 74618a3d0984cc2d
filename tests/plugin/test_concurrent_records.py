"""Two sessions that record at once: the second one sees the first one's record, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.reporting.record_text  # noqa: F401
from pytest_repro.session import recording
from tests.plugin.helpers import Sessions

SOURCE = "import pytest\n@pytest.mark.reproducible\ndef test_it(): return {value}\n"


@pytest.fixture
def overtaken(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """Have another session write its record just before this one does."""
    monkeypatch.chdir(sessions.folder)
    monkeypatch.setattr(recording, "describe_environment", lambda root: {})
    sessions.run(SOURCE.format(value=1), "--repro-record=other")
    (name,) = (path.name for path in Path("other").iterdir())
    real = recording.write_record

    def write(directory, *args, **options):
        if Path("other").exists():
            directory.mkdir(exist_ok=True)
            (directory / name).write_bytes((Path("other") / name).read_bytes())
        return real(directory, *args, **options)

    monkeypatch.setattr(recording, "write_record", write)
    return sessions


def read(sessions: Sessions) -> dict:
    (path,) = (sessions.folder / "records").glob("*.json")
    return dict(json.loads(path.read_bytes()))


def test_a_record_with_other_results_is_kept_and_the_test_is_an_error(overtaken: Sessions) -> None:
    session = overtaken.run(SOURCE.format(value=2), "--repro-record=records")
    assert session.verdicts == {"test_it": "error"}
    assert "another session has written test_it.py-test_it-" in session.text
    value = next(entry["value"] for entry in read(overtaken)["artifacts"] if entry["form"] == "value")
    assert value["text"] == "0x1"


def test_a_record_with_the_same_results_is_kept_and_noted(overtaken: Sessions) -> None:
    session = overtaken.run(SOURCE.format(value=1), "--repro-record=records")
    assert session.verdicts == {"test_it": "identical"}
    assert session.test("test_it")["record"]["status"] == "unchanged"
    assert session.test("test_it")["notes"] == [
        "another session has recorded the same results in the meantime; its record was kept"
    ]


def test_an_update_does_not_replace_a_record_that_it_did_not_compare_with(overtaken: Sessions) -> None:
    options = "--repro-record=records", "--repro-update", "--repro-reason=changed"
    (overtaken.folder / "records").mkdir()
    Path("other").rename("kept")
    overtaken.run(SOURCE.format(value=3), "--repro-record=records")
    Path("kept").rename("other")
    session = overtaken.run(SOURCE.format(value=2), *options)
    assert session.verdicts == {"test_it": "error"}
    assert read(overtaken)["updates"] == []
