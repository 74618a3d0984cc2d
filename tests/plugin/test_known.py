"""--repro-known and --repro-report: known findings do not fail, all others do, and no output calls one identical."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.model.known
import pytest_repro.reporting.known_text
import pytest_repro.session.collector  # noqa: F401
from pytest_repro.cli import main
from pytest_repro.records.collection import read_collection
from tests.plugin.helpers import Session, Sessions

SOURCE = """
    import os
    import pytest

    @pytest.mark.reproducible
    def test_draws():
        return {"noise": os.urandom(4), "constant": 1}

    @pytest.mark.reproducible
    def test_fine():
        return 1
"""
BOTH = SOURCE.replace('"constant": 1', '"constant": os.urandom(3)')
MENDED = SOURCE.replace("os.urandom(4)", "4")


def write_known(sessions: Sessions, source: str = SOURCE, *options: str, more: tuple[str, ...] = ()) -> Path:
    """Scan, and write the file of what was found."""
    sessions.run(source, *options)
    path = sessions.folder / "known.json"
    assert main(["known", str(sessions.folder / "report.json"), "--write", str(path), *more]) == 0
    return path


def change(path: Path, **changes: Any) -> None:
    """Change the only entry of a file."""
    document = json.loads(path.read_text())
    document["findings"][0] |= changes
    path.write_text(json.dumps(document))


def line_of(session: Session, words: str) -> str:
    found = [line for line in session.text.splitlines() if words in line]
    assert found, session.text
    return found[0]


def test_a_known_divergence_is_an_expected_failure_with_its_reason_and_stays_diverged(sessions: Sessions) -> None:
    write_known(sessions, more=("--reason", "ticket 12", "--expires", "2999-01-01"))
    session = sessions.run(SOURCE, "--repro-known=known.json", "--junitxml=junit.xml")
    assert (session.exitcode, session.outcomes) == (0, {"passed": 1, "xfailed": 1})
    assert session.verdicts == {"test_draws": "diverged", "test_fine": "identical"}
    line = line_of(session, "XFAIL")
    assert "known: diverged in noise (ticket 12; until 2999-01-01;" in line
    assert "no diagnosis was made" in session.test("test_draws")["acceptance"]["explanation"]
    assert session.test("test_draws")["acceptance"]["status"] == "known"
    assert session.test("test_fine")["acceptance"] is None
    junit = (sessions.folder / "junit.xml").read_text()
    assert 'type="pytest.xfail"' in junit
    assert 'name="repro_verdict" value="diverged"' in junit
    assert "1 as recorded, 0 new" in session.text
    assert "1 test matched by test and artifacts only" in session.text


def test_another_test_another_artifact_and_another_cause_fail(sessions: Sessions) -> None:
    path = write_known(sessions)
    session = sessions.run(BOTH, "--repro-known=known.json")
    assert session.outcomes == {"passed": 1, "failed": 1}
    assert "not accepted: known.json does not have the artifact constant" in session.text
    other = SOURCE.replace("return 1", "return os.urandom(2)")
    session = sessions.run(other, "--repro-known=known.json")
    assert session.outcomes == {"xfailed": 1, "failed": 1}
    assert "known.json has no entry for this test" in session.text
    change(path, causes=["clock.wall"])
    session = sessions.run(SOURCE, "--repro-known=known.json", "--repro-diagnose")
    assert session.outcomes == {"passed": 1, "failed": 1}
    assert "another cause: clock.wall, and not rng.os_entropy" in session.text
    change(path, causes=["rng.os_entropy"])
    session = sessions.run(SOURCE, "--repro-known=known.json", "--repro-diagnose")
    assert session.outcomes == {"passed": 1, "xfailed": 1}
    assert "known: rng.os_entropy in noise" in session.text


def test_an_expired_entry_fails_with_its_date(sessions: Sessions) -> None:
    path = write_known(sessions)
    change(path, expires="2026-01-31", reason="until the release")
    session = sessions.run(SOURCE, "--repro-known=known.json")
    assert (session.exitcode, session.outcomes) == (1, {"passed": 1, "failed": 1})
    assert "expired on 2026-01-31 (reason of the entry: until the release)" in session.text
    assert "  expired: test_it.py::test_draws" in session.text


def test_what_is_mended_is_said_and_the_next_file_lacks_it(sessions: Sessions) -> None:
    path = write_known(sessions)
    session = sessions.run(MENDED, "--repro-known=known.json")
    assert (session.exitcode, session.outcomes) == (0, {"passed": 2})
    assert "  mended: remove the entry: test_it.py::test_draws" in session.text
    assert session.report is not None
    assert session.report["known"]["mended"] == ["test_it.py::test_draws"]
    main(["known", str(sessions.folder / "report.json"), "--write", str(path)])
    assert json.loads(path.read_text())["findings"] == []


def test_a_failure_of_the_first_run_is_never_known(sessions: Sessions) -> None:
    write_known(sessions)
    failing = SOURCE.replace('return {"noise"', 'assert 0, "broken"; return {"noise"')
    session = sessions.run(failing, "--repro-known=known.json", "--repro-report")
    assert session.outcomes == {"passed": 1, "failed": 1}
    assert session.test("test_draws")["acceptance"] is None


def test_a_teardown_that_fails_is_never_accepted(sessions: Sessions) -> None:
    source = """
        import pytest
        RUNS = []
        @pytest.fixture
        def breaks():
            yield
            RUNS.append(1)
            assert len(RUNS) < 2, "broken"
        @pytest.mark.reproducible
        def test_it(breaks):
            return 1
    """
    session = sessions.run(source, "--repro-report")
    assert session.exitcode == 1
    assert "the teardown failed, which is never accepted" in session.text


@pytest.mark.needs("xdist")
def test_the_workers_of_xdist_accept_the_same(sessions: Sessions) -> None:
    path = write_known(sessions)
    change(path, reason="ticket 12")
    session = sessions.run(SOURCE, "--repro-known=known.json", "-n2", plugins=("xdist",))
    assert (session.exitcode, session.outcomes) == (0, {"passed": 1, "xfailed": 1})
    assert "1 as recorded, 0 new" in session.text
    assert session.test("test_draws")["acceptance"]["reason"] == "ticket 12"


def test_runs_in_other_processes_and_examples_are_accepted_too(sessions: Sessions) -> None:
    source = SOURCE.replace("reproducible\n", 'reproducible(across=["process"])\n')
    write_known(sessions, source)
    session = sessions.run(source, "--repro-known=known.json")
    assert session.outcomes == {"passed": 1, "xfailed": 1}, session.text


@pytest.mark.needs("hypothesis")
def test_examples_of_hypothesis_are_accepted_too(sessions: Sessions) -> None:
    source = """
        import os, pytest
        from hypothesis import given, strategies as st
        @pytest.mark.reproducible
        @given(st.integers(0, 3))
        def test_it(n):
            return os.urandom(4)
    """
    sessions.run(source, plugins=("hypothesis",))
    path = sessions.folder / "known.json"
    assert main(["known", str(sessions.folder / "report.json"), "--write", str(path)]) == 0
    session = sessions.run(source, "--repro-known=known.json", plugins=("hypothesis",))
    assert (session.outcomes, session.verdicts) == ({"xfailed": 1}, {"test_it": "diverged"}), session.text


def test_evidence_of_known_findings_fails_and_says_why(sessions: Sessions) -> None:
    write_known(sessions)
    session = sessions.run(SOURCE, "--repro-known=known.json", "--repro-evidence=bundle", "--repro-html=page.html")
    assert session.exitcode == 0
    statement = json.loads((sessions.folder / "bundle" / "statement.json").read_text())["predicate"]
    assert statement["result"] == "FAILED"
    assert statement["failedTests"] == ["test_it.py::test_draws"]
    assert "evidence in bundle: FAILED: 1 test whose runs differ" in session.text
    assert "diverged, known" in (sessions.folder / "bundle" / "summary.md").read_text()
    assert ", known" in (sessions.folder / "page.html").read_text()
    assert main(["verify", str(sessions.folder / "bundle")]) == 3


def test_evidence_fails_for_a_listed_test_whose_first_run_skipped(sessions: Sessions) -> None:
    source = """
        import pytest
        CALLS = []
        @pytest.mark.reproducible
        def test_it():
            CALLS.append(1)
            if len(CALLS) == 1:
                pytest.skip("not yet")
            return 1
        @pytest.mark.reproducible
        def test_fine():
            return 1
    """
    session = sessions.run(source, "--repro-report", "--repro-evidence=bundle")
    assert (session.exitcode, session.verdicts["test_it"]) == (0, "diverged"), session.text
    statement = json.loads((sessions.folder / "bundle" / "statement.json").read_text())["predicate"]
    assert (statement["result"], statement["failedTests"]) == ("FAILED", ["test_it.py::test_it"])


def test_a_collection_keeps_a_known_divergence_as_unstable(sessions: Sessions) -> None:
    write_known(sessions)
    sessions.run(SOURCE, "--repro-known=known.json", "--repro-collect=out/one")
    entries = read_collection(sessions.folder / "out" / "one").tests
    assert entries["test_it.py::test_draws"].status == "unstable"
    assert "(known there)" in entries["test_it.py::test_draws"].reason


def test_report_only_ends_green_and_lists_every_finding(sessions: Sessions) -> None:
    source = (
        SOURCE
        + """
    @pytest.mark.reproducible
    def test_nothing():
        pass

    CALLS = []
    @pytest.mark.reproducible
    def test_second_run_fails():
        CALLS.append(1)
        assert len(CALLS) == 1
        return 1
    """
    )
    session = sessions.run(source, "--repro-report", "--repro-evidence=bundle")
    assert (session.exitcode, session.outcomes) == (0, {"passed": 1, "xfailed": 3}), session.text
    assert session.verdicts == {
        "test_draws": "diverged", "test_fine": "identical", "test_nothing": "inconclusive",
        "test_second_run_fails": "error",
    }  # fmt: skip
    assert "--repro-report: 3 tests with a finding did not fail" in session.text
    assert "XFAIL test_it.py::test_draws - not failed because of --repro-report: diverged in noise" in session.text
    assert "evidence in bundle: FAILED: 3 tests whose runs differ" in session.text
    session = sessions.run(SOURCE, ini="repro_report = true")
    assert session.exitcode == 0


def test_the_ini_file_names_the_file_relative_to_itself(sessions: Sessions) -> None:
    write_known(sessions)
    (sessions.folder / "sub").mkdir()
    session = sessions.run(SOURCE, "--rootdir=.", ini="repro_known = known.json")
    assert session.outcomes == {"passed": 1, "xfailed": 1}


def test_runxfail_lets_known_findings_fail(sessions: Sessions) -> None:
    write_known(sessions)
    session = sessions.run(SOURCE, "--repro-known=known.json", "--runxfail")
    assert session.outcomes == {"passed": 1, "failed": 1}
    assert "--runxfail lets known findings fail" in session.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "known.json does not exist: write it with `pytest-repro known REPORT --write known.json`"),
        ("{", "known.json is not a file of known findings: it is not JSON"),
        ('{"schema_version": 1, "tests": []}', "it looks like a report"),
    ],
)
def test_a_wrong_file_stops_the_session(sessions: Sessions, content: str | None, words: str) -> None:
    if content is not None:
        (sessions.folder / "known.json").write_text(content)
    session = sessions.run(SOURCE, "--repro-known=known.json")
    assert session.exitcode == 4
    assert words in session.run.stderr.str()


def test_a_marker_excludes_a_test_with_its_reason(sessions: Sessions) -> None:
    source = """
        import os, pytest
        CALLS = []
        @pytest.mark.reproducible(skip="asks a live service")
        def test_live(repro):
            CALLS.append(1)
            assert len(CALLS) == 1
            return os.urandom(4)
        @pytest.mark.reproducible(skip="all of them")
        class TestMany:
            def test_one(self): return os.urandom(4)
            @pytest.mark.reproducible(skip=None)
            def test_two(self): return 2
        def test_plain():
            value = 1
    """
    session = sessions.run(source, "--repro-all", "--repro-evidence=bundle", "--junitxml=junit.xml")
    assert (session.exitcode, session.outcomes) == (0, {"passed": 4}), session.text
    assert set(session.verdicts) == {"TestMany::test_two", "test_plain"}
    assert session.report is not None
    assert session.report["not_checked"] == [
        {"test": "test_it.py::test_live", "reason": "asks a live service"},
        {"test": "test_it.py::TestMany::test_one", "reason": "all of them"},
    ]
    assert "not checked: asks a live service: test_it.py::test_live" in session.text
    assert 'name="repro_not_checked" value="asks a live service"' in (sessions.folder / "junit.xml").read_text()
    assert "asks a live service" in (sessions.folder / "bundle" / "summary.md").read_text()
    assert main(["verify", str(sessions.folder / "bundle")]) == 3


@pytest.mark.needs("xdist")
def test_excluded_tests_of_workers_are_said(sessions: Sessions) -> None:
    source = "import pytest\n@pytest.mark.reproducible(skip='why')\ndef test_it(): return 1\n"
    session = sessions.run(source, "-n1", plugins=("xdist",))
    assert session.report is not None
    assert session.report["not_checked"] == [{"test": "test_it.py::test_it", "reason": "why"}]
    assert "not checked: why: test_it.py::test_it" in session.text


@pytest.mark.parametrize("given", ["''", "' '", "True", "3"])
def test_an_exclusion_needs_a_reason(sessions: Sessions, given: str) -> None:
    source = f"import pytest\n@pytest.mark.reproducible(skip={given})\ndef test_it(): return 1\n"
    session = sessions.run(source)
    assert session.exitcode != 0
    assert "skip must be the reason why the test is not checked" in session.text
