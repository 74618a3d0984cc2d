"""A bundle of evidence replaces the files of an earlier bundle, and never those of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.helpers import Session, Sessions

SOURCE = """
    import pytest

    @pytest.mark.reproducible
    def test_it():
        return 1.5
"""


def run(sessions: Sessions, *options: str, folder: str = "ev") -> Session:
    return sessions.run(SOURCE, f"--repro-evidence={folder}", *options, json_report=False)


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["summary.md", "report.html", "record.json", "statement.json", "records/mine.json"])
def test_a_file_that_no_bundle_wrote_is_refused_before_the_first_test_and_kept(sessions: Sessions, name: str) -> None:
    sessions.write("mine", f"ev/{name}")
    session = run(sessions)
    assert session.exitcode == 4
    assert read(sessions.folder / "ev") == {name: b"mine"}
    text = "\n".join([*session.run.errlines, session.text])
    assert f"files that no earlier bundle wrote, and that this one would replace: {name}" in text
    assert "1 passed" not in session.text


def test_the_project_s_own_folder_and_records_are_not_taken_for_a_bundle(sessions: Sessions) -> None:
    assert sessions.run(SOURCE, "--repro-record=records", json_report=False).exitcode == 0
    before = read(sessions.folder / "records")
    assert before
    assert run(sessions, "--repro-verify=records", folder=".").exitcode == 4
    assert read(sessions.folder / "records") == before


def test_a_file_beside_an_earlier_bundle_is_kept_too(sessions: Sessions) -> None:
    assert run(sessions).exitcode == 0
    sessions.write("mine", "ev/changes.patch")
    assert run(sessions).exitcode == 4
    assert (sessions.folder / "ev/changes.patch").read_text() == "mine"


def test_the_bundle_of_an_earlier_session_is_replaced_with_its_records(sessions: Sessions) -> None:
    assert run(sessions, "--repro-record=kept").exitcode == 0
    assert any(name.startswith("records/") for name in read(sessions.folder / "ev"))
    sessions.write("mine", "ev/model.py")
    (sessions.folder / "ev/statement.json").unlink()  # as of a writer that was killed
    assert run(sessions).exitcode == 0
    found = read(sessions.folder / "ev")
    assert found["model.py"] == b"mine"
    assert "statement.json" in found
    assert not any(name.startswith("records/") for name in found)


def test_a_folder_with_the_name_of_what_moves_aside_is_kept(sessions: Sessions) -> None:
    sessions.write("mine", "ev.previous/summary.md")
    assert run(sessions).exitcode == 0
    assert run(sessions).exitcode == 0
    assert read(sessions.folder / "ev.previous") == {"summary.md": b"mine"}
