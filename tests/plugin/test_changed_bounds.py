"""A tolerance that was changed after a record was made, and what a session says of it everywhere."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

import pytest_repro.reporting.record_text  # noqa: F401
from pytest_repro.capturing.environment import describe_environment
from pytest_repro.model import JSON
from pytest_repro.session import recording
from tests.plugin.helpers import Session, Sessions
from tests.unit.records.helpers import forge

SOURCE = """
    from pathlib import Path
    import numpy as np
    import pytest

    @pytest.mark.reproducible({bounds})
    def test_fit():
        return {{"w": np.ones(4) * float(Path("factor").read_text())}}
"""


@functools.cache
def collect_environment() -> dict[str, JSON]:
    return describe_environment(Path("/"))


@pytest.fixture(autouse=True)
def folder(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sessions.folder)
    monkeypatch.setattr(recording, "describe_environment", lambda root: collect_environment())
    write_factor(sessions, "1.0")


def write_factor(sessions: Sessions, value: str) -> None:
    (sessions.folder / "factor").write_text(value)


def run(sessions: Sessions, bounds: str, *options: str) -> Session:
    return sessions.run(SOURCE.format(bounds=bounds), *options)


def verify(sessions: Sessions, bounds: str, factor: str, recorded: str) -> Session:
    """Record with some bounds, and verify with others in what looks like another environment."""
    assert run(sessions, recorded, "--repro-record=rec").exitcode == 0
    (path,) = (sessions.folder / "rec").glob("*.json")
    forge(path, lambda document: document["environment"]["packages"]["numpy"].update(version="1.0.0"))
    write_factor(sessions, factor)
    return run(sessions, bounds, "--repro-verify=rec", "--repro-evidence=ev")


def test_a_loosened_bound_lets_nothing_pass_and_is_named_everywhere(sessions: Sessions) -> None:
    session = verify(sessions, "rtol=10", "1.5", recorded="")
    assert session.verdicts == {"test_fit": "diverged"}
    summary = (sessions.folder / "ev/summary.md").read_text().replace("\\", "")
    evidence = json.loads((sessions.folder / "ev/evidence.json").read_text())
    for text in (session.text, summary, evidence["tests"][0]["reason"], session.test("test_fit")["reason"]):
        assert "the record allows less than the test does now (tolerance: no difference -> rtol=10)" in text
    assert "tolerance: no difference -> rtol=10, since the record of test_it.py::test_fit was made" in session.text
    for circumstances in (
        session.test("test_fit")["record"]["circumstances"],
        evidence["tests"][0]["record"]["circumstances"],
    ):
        (found,) = [each for each in circumstances if each["part"] == "tolerance"]
        assert (found["recorded"], found["here"]) == ("no difference", "rtol=10")
    assert "from the record: w, 4 of 4 differ, expected 1.0, got 1.5 (allowed: no difference)" in summary
    assert "since the record: package that computes numpy: 1.0.0 -> " in summary


def test_a_loosened_bound_is_named_where_the_results_are_identical(sessions: Sessions) -> None:
    session = verify(sessions, "rtol=10", "1.0", recorded="")
    assert session.verdicts == {"test_fit": "identical"}
    assert "tolerance: no difference -> rtol=10, since the record of" in session.text
    summary = (sessions.folder / "ev/summary.md").read_text().replace("\\", "")
    assert "since the record: tolerance: no difference -> rtol=10" in summary


def test_what_is_tolerated_stands_with_its_bound_in_terminal_and_summary(sessions: Sessions) -> None:
    session = verify(sessions, "rtol=10", "1.5", recorded="rtol=10")
    assert session.verdicts == {"test_fit": "within_tolerance"}
    assert "since the record of" not in session.text
    assert "ulp, 0.5 relative (allowed: rtol=10) in w of test_it.py::test_fit" in session.text
    summary = (sessions.folder / "ev/summary.md").read_text().replace("\\", "")
    assert "tolerated, from the record: " in summary
    assert "0.5 relative (allowed: rtol=10) in w" in summary


def test_an_update_lets_the_record_allow_what_the_test_allows_now(sessions: Sessions) -> None:
    run(sessions, "", "--repro-record=rec")
    session = run(sessions, "rtol=10", "--repro-record=rec")
    assert session.test("test_fit")["record"]["status"] == "unchanged"
    assert any("no difference -> rtol=10" in note for note in session.test("test_fit")["notes"])
    run(sessions, "rtol=10", "--repro-record=rec", "--repro-update", "--repro-reason=measured")
    (path,) = (sessions.folder / "rec").glob("*.json")
    document = json.loads(path.read_bytes())
    assert document["policy"]["tolerance"] == [["*", "rtol=10"]]
    assert document["updates"][-1]["reason"] == "measured"


def test_what_was_not_compared_is_not_counted_as_compared(sessions: Sessions) -> None:
    run(sessions, "", "--repro-record=rec")
    session = run(sessions, "", "--repro-verify=rec", "--repro-seed=5")
    assert session.verdicts == {"test_fit": "inconclusive"}
    assert "compared with records" not in session.text
    assert "records: 1 inconclusive" in session.text


@pytest.mark.parametrize(("marker", "option"), [("", " --repro-seed=0"), ("seed=3", "")])
def test_the_next_step_of_another_seed_has_that_of_the_record_and_verifies(
    sessions: Sessions, marker: str, option: str
) -> None:
    run(sessions, marker, "--repro-record=rec")
    session = run(sessions, marker, "--repro-verify=rec", "--repro-seed=5")
    command = f"pytest test_it.py::test_fit{option} --repro-verify=rec"
    assert session.test("test_fit")["repeat_command"].replace(" --repro-runs=2", "") == command
    assert (option.strip() or "without --repro-seed") in session.test("test_fit")["reason"]


def test_the_next_step_without_a_record_verifies_and_the_reason_records(sessions: Sessions) -> None:
    session = run(sessions, "", "--repro-verify=rec")
    assert session.test("test_fit")["repeat_command"].endswith(" --repro-verify=rec")
    assert session.test("test_fit")["reason"].endswith("--repro-seed=0 --repro-record=rec")
