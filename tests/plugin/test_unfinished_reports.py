"""A session that is killed or stopped leaves reports of the tests that had ended, marked as unfinished."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.records.bundle import read_bundle
from pytest_repro.reporting.growing_report import GrowingReport
from pytest_repro.reporting.json_report import read_report
from pytest_repro.session import report_files
from tests.plugin.helpers import Sessions

KILLED = """
    import os, pytest, signal
    @pytest.mark.reproducible
    @pytest.mark.parametrize("n", range(3))
    def test_ended(n): return n
    @pytest.mark.reproducible
    def test_killed():
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_session_leaves_every_report_of_the_tests_that_had_ended(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=KILLED)
    options = ["--repro-json=r.json", "--repro-html=r.html", "--repro-evidence=bundle", "-p", "no:randomly"]
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == -signal.SIGKILL
    session = read_report(pytester.path / "r.json")
    names = [f"test_it.py::test_ended[{n}]" for n in range(3)]
    assert [test.nodeid for test in session.tests] == names
    assert not session.is_finished
    assert "Not finished" in (pytester.path / "r.html").read_text()
    bundle = read_bundle(pytester.path / "bundle")
    assert (bundle.result, list(bundle.verdicts)) == ("FAILED", names)
    summary = (pytester.path / "bundle" / "summary.md").read_text()
    assert "Not finished" in summary
    assert "pytest: 3 passed, of 4 that were to run" in summary
    assert not list(pytester.path.glob("**/.*.part"))


def test_an_unfinished_bundle_that_claims_to_have_passed_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=KILLED)
    pytester.runpytest_subprocess("--repro-evidence=bundle", "-p", "no:randomly")
    path = pytester.path / "bundle" / "statement.json"
    path.write_text(path.read_text().replace("FAILED", "PASSED"))
    with pytest.raises(RecordError, match="contradicts"):
        read_bundle(pytester.path / "bundle")


@pytest.mark.parametrize(("options", "is_finished"), [((), True), (("-x",), False), (("--maxfail=9",), True)])
def test_a_session_that_stops_before_its_last_test_is_unfinished(
    sessions: Sessions, options: tuple[str, ...], is_finished: bool
) -> None:
    code = """
        import itertools, pytest
        counter = itertools.count()
        @pytest.mark.reproducible
        def test_differs(): return next(counter)
        @pytest.mark.reproducible
        def test_same(): return 1
    """
    found = sessions.run(code, "--no-repro-diagnose", *options)
    assert found.report["is_finished"] is is_finished
    assert len(found.report["tests"]) == 1 + is_finished


def test_an_interrupted_session_is_unfinished(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest
        @pytest.mark.reproducible
        def test_same(): return 1
        @pytest.mark.reproducible
        def test_interrupted(): raise KeyboardInterrupt
        """
    )
    pytester.runpytest_subprocess("--repro-json=r.json", "-p", "no:randomly")
    assert not read_report(pytester.path / "r.json").is_finished


def test_the_document_is_complete_after_each_test(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "r.json"
    report = GrowingReport(path, ReportedSession((), is_finished=False))
    assert json.loads(path.read_text()) == {"tests": [], "schema_version": 1, "is_finished": False}
    for n in range(3):
        report.add(ReportedTest(f"test_{n} \u2603 \ud800", Verdict.IDENTICAL, n))
        document = json.loads(path.read_text())
        assert [test["seed"] for test in document["tests"]] == list(range(n + 1))
        assert not document["is_finished"]
    assert len(read_report(path).tests) == 3


def test_a_reader_finds_a_complete_document_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    code = f"""
from pathlib import Path
from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.reporting.growing_report import GrowingReport
report = GrowingReport(Path({str(path)!r}), ReportedSession((), is_finished=False))
n = 0
while True:
    report.add(ReportedTest("x" * (n % 20000), Verdict.IDENTICAL, n))
    n += 1
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until = time.monotonic() + 60
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        process.kill()
    assert len(json.loads(path.read_text())["tests"]) > 1


def test_writing_pages_takes_a_bounded_share_of_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = {"s": 1000.0}

    class Time:
        time = staticmethod(lambda: now["s"])
        monotonic = staticmethod(lambda: now["s"])

    written = []

    class Files(report_files.ReportFiles):
        def __init__(self) -> None:
            self.tests, self._document, self._page, self._bundle = [], None, tmp_path / "page.html", None
            self._started, self._spent_s = 1000.0, 0.0
            self.outcomes = report_files.OutcomeCounter()

        def _write_unfinished(self) -> float:
            written.append(now["s"])
            now["s"] += 0.5
            return 0.5

    monkeypatch.setattr(report_files, "time", Time)
    files = Files()
    for _ in range(1000):
        now["s"] += 0.01
        files.add(ReportedTest("test_it", Verdict.IDENTICAL, 0))
    # 10 s of tests: the first second is free, and a twentieth of the rest.
    assert len(written) == 4
    assert files._spent_s <= report_files.FREE_S + 0.5 + report_files.SHARE * (now["s"] - 1000)


def test_a_page_that_cannot_be_written_is_told_once_at_the_end(sessions: Sessions, pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("file").write_text("not a folder")
    found = sessions.run(
        "import pytest\n@pytest.mark.reproducible\ndef test_it(): return 1", "--repro-html=file/page.html"
    )
    assert found.text.count("could not be written") == 1


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_reports_of_an_earlier_session_do_not_stand_for_one_that_is_killed_in_its_first_test(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    if options:
        pytest.importorskip("xdist")
    pytester.makepyfile(test_it="import pytest\n@pytest.mark.reproducible\ndef test_it(): return 1")
    outputs = ["--repro-json=r.json", "--repro-html=r.html", "-p", "no:randomly"]
    pytester.runpytest_subprocess(*outputs)
    pytester.makepyfile(
        test_it="""
        import os, pytest, signal
        @pytest.mark.reproducible
        def test_it():
            os.kill(int(os.environ["PYTEST_PID"]), signal.SIGKILL)
        """
    )
    pytester.makeconftest(
        "import os\ndef pytest_configure(config):\n"
        "    if not hasattr(config, 'workerinput'): os.environ['PYTEST_PID'] = str(os.getpid())"
    )
    pytester.runpytest_subprocess(*outputs, *options)
    session = read_report(pytester.path / "r.json")
    assert (session.tests, session.is_finished) == ((), False)
    assert "Not finished" in (pytester.path / "r.html").read_text()


def test_a_session_killed_before_its_first_test_leaves_unfinished_reports_and_the_older_bundle(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_it="import pytest\n@pytest.mark.reproducible\ndef test_it(): return 1")
    options = ["--repro-json=r.json", "--repro-html=r.html", "--repro-evidence=bundle", "-p", "no:randomly"]
    bundle, previous = pytester.path / "bundle", pytester.path / "bundle.previous"
    pytester.runpytest_subprocess(*options)
    assert (read_bundle(bundle).result, previous.exists()) == ("PASSED", False)
    conftest = pytester.makeconftest(
        """
        import os, signal, sys
        def pytest_collection_modifyitems():
            assert "numpy" not in sys.modules  # the reports were begun without it
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    for _ in range(2):  # the second one finds an unfinished bundle, and keeps the finished one
        assert pytester.runpytest_subprocess(*options, "-p", "no:hypothesispytest").ret == -signal.SIGKILL
        assert not read_report(pytester.path / "r.json").is_finished
        assert "Not finished" in (pytester.path / "r.html").read_text()
        assert "Not finished" in (bundle / "summary.md").read_text()
        assert (read_bundle(bundle).result, read_bundle(previous).result) == ("FAILED", "PASSED")
    conftest.unlink()
    pytester.runpytest_subprocess(*options)
    assert (read_bundle(bundle).result, previous.exists()) == ("PASSED", False)
