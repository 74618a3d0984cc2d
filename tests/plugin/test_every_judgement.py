"""Every judgement counts: assertions of this package, marked or not, caught or not, and all that pytest tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.records.bundle import read_bundle
from pytest_repro.reporting.evidence_texts import TEXTS

ASSERTIONS = """
    import pytest
    from pytest_repro import DivergenceError, assert_identical, assert_order_invariant
    def weigh(rows): return [row * (i + 1) for i, row in enumerate(rows)]
    def test_caught():
        try:
            assert_order_invariant(weigh, [1.0, 2.0, 3.0])
        except AssertionError:
            pass
    def test_unclear():
        try:
            assert_identical([], [])
        except Exception:
            pass
    def test_good(): assert_identical(1.0, 1.0)
    def test_plain(): pass
    @pytest.mark.reproducible
    def test_marked_caught():
        with pytest.raises(DivergenceError): assert_identical(1.0, 2.0)
        return 1
    @pytest.mark.reproducible
    def test_marked_good():
        assert_identical(1.0, 1.0)
        return 1
"""


def run(pytester: pytest.Pytester, *options: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return the exit status, the JSON report and the statement's predicate, after checking the bundle."""
    result = pytester.runpytest_subprocess(
        "--repro-json=r.json", "--repro-evidence=bundle", "--no-repro-diagnose", "-p", "no:randomly", *options
    )
    read_bundle(pytester.path / "bundle", TEXTS)
    report = json.loads((pytester.path / "r.json").read_text())
    return int(result.ret), report, json.loads((pytester.path / "bundle" / "statement.json").read_text())["predicate"]


def names(tests: list[str]) -> list[str]:
    return sorted(test.partition("::")[2] for test in tests)


@pytest.mark.parametrize(
    "options", [(), ("--repro-isolate",), pytest.param(("-n", "1"), marks=pytest.mark.needs("xdist"))]
)
def test_assertions_count_with_and_without_the_marker_and_where_they_were_caught(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_it=ASSERTIONS)
    status, report, predicate = run(pytester, *options)
    assert (status, predicate["result"]) == (0, "WARNED")
    assert names(predicate["passedTests"]) == ["test_good", "test_marked_good"]
    assert names(predicate["warnedTests"]) == ["test_caught", "test_marked_caught", "test_unclear"]
    found = {(a["test"].partition("::")[2], a["assertion"], a["verdict"], a["count"]) for a in report["assertions"]}
    assert found == {
        ("test_caught", "assert_order_invariant", "diverged", 1),
        ("test_unclear", "assert_identical", "inconclusive", 1),
        ("test_good", "assert_identical", "passed", 1),
        ("test_marked_caught", "assert_identical", "diverged", 2),
        ("test_marked_good", "assert_identical", "passed", 2),
    }
    page = (pytester.path / "bundle" / "report.html").read_text()
    assert "assert_order_invariant: 5 of 5 variants differ" in page
    assert "test\\_caught: assert\\_order\\_invariant diverged" in (pytester.path / "bundle" / "summary.md").read_text()


OUTSIDE = """
    import multiprocessing, os, subprocess, sys
    from helper import check
    check()
    def test_fork():
        process = multiprocessing.get_context("fork").Process(target=check)
        process.start(); process.join()
    def test_fork_that_closes_all_files():
        pid = os.fork()
        if not pid:
            os.closerange(3, 200)
            files = [open("own.txt", "w") for _ in range(190)]
            check()
            os._exit(0)
        os.waitpid(pid, 0)
    def test_program(): subprocess.run([sys.executable, "-c", "import helper; helper.check()"], check=True)
    def test_innocent(): pass
"""
HELPER = """
    from pytest_repro import assert_identical
    def check():
        try: assert_identical(1.0, 2.0)
        except AssertionError: pass
"""


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "2"), marks=pytest.mark.needs("xdist"))])
def test_assertions_outside_of_tests_and_in_processes_of_tests_are_not_lost_and_blame_no_other_test(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_it=OUTSIDE, helper=HELPER, test_first="def test_a(): pass\ndef test_b(): pass")
    pytester.makeconftest("""
        from pytest_repro import assert_identical
        try: assert_identical(3.0, 4.0)
        except AssertionError: pass
        def pytest_sessionfinish(): assert_identical(1.0, 1.0)
    """)
    _, report, predicate = run(pytester, *options)
    assert predicate["result"] == "WARNED"
    found = sorted((a["test"], a["verdict"], a["count"]) for a in report["assertions"])
    assert found == [
        ("conftest.py", "diverged", 1),
        ("conftest.py", "passed", 1),
        ("helper.py", "diverged", 1),
        ("test_it.py::test_fork", "diverged", 1),
    ]
    assert (pytester.path / "own.txt").read_text() == ""
    limitations = json.loads((pytester.path / "bundle" / "evidence.json").read_text())["limitations"]
    assert any("not in interpreters and programs that a test starts" in text for text in limitations)


MARKED = """
    import os, pytest
    @pytest.mark.reproducible
    def test_a(): return 1
    @pytest.mark.reproducible
    def test_b(): {b}
    @pytest.mark.reproducible
    def test_c(): return 3
"""


@pytest.mark.parametrize(
    ("body", "options", "not_run", "cut_off"),
    [
        ("pytest.exit('enough', returncode=0)", (), 1, ["test_b"]),  # it did not come to its end either
        ("raise KeyboardInterrupt", (), 1, ["test_b"]),
        ("assert False", ("-x",), 1, []),
        pytest.param(
            "os._exit(3)", ("-n", "1", "--max-worker-restart=0"), 1, [], marks=pytest.mark.needs("xdist"), id="crash"
        ),
    ],
)
def test_a_session_in_which_a_test_did_not_run_does_not_pass(
    pytester: pytest.Pytester, body: str, options: tuple[str, ...], not_run: int, cut_off: list[str]
) -> None:
    pytester.makepyfile(test_it=MARKED.format(b=body))
    _, report, predicate = run(pytester, *options)
    assert predicate["result"] == "FAILED"
    assert not report["is_finished"]
    outcome = report["pytest"]
    assert (outcome["collected"], outcome["not_run"], names(outcome["cut_off_tests"])) == (3, not_run, cut_off)
    summary = (pytester.path / "bundle" / "summary.md").read_text()
    assert "**FAILED**: the session did not come to its end" in summary
    assert ("- was cut off: test\\_it.py::test\\_b" in summary) == bool(cut_off)


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "1"), marks=pytest.mark.needs("xdist"))])
def test_tests_that_a_conftest_removed_without_a_word_are_named(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_it=MARKED.format(b="return 2"))
    pytester.makeconftest("def pytest_collection_modifyitems(items): items[:] = items[:2]")
    _, report, _ = run(pytester, *options)
    assert (report["pytest"]["vanished"], names(report["pytest"]["vanished_tests"])) == (1, ["test_c"])
    summary = (pytester.path / "bundle" / "summary.md").read_text()
    assert "- removed after collection, without a deselection: test\\_it.py::test\\_c" in summary


@pytest.mark.needs("xdist")
def test_a_worker_that_crashed_fails_the_test_that_it_ran(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MARKED.format(b="os._exit(3)"))
    _, report, predicate = run(pytester, "-n", "1")
    assert (predicate["result"], names(predicate["failedTests"])) == ("FAILED", ["test_b"])
    assert report["pytest"]["not_run"] == 0


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "1"), marks=pytest.mark.needs("xdist"))])
def test_deselected_and_skipped_tests_are_named(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytester.makepyfile(test_it=MARKED.format(b="pytest.skip('no')"))
    _, report, predicate = run(pytester, "-k", "not test_c", *options)
    assert (predicate["result"], names(predicate["passedTests"])) == ("PASSED", ["test_a"])
    outcome = report["pytest"]
    assert (outcome["deselected"], names(outcome["deselected_tests"])) == (1, ["test_c"])
    assert names(outcome["skipped_tests"]) == ["test_b"]
    summary = (pytester.path / "bundle" / "summary.md").read_text()
    assert "- deselected: test\\_it.py::test\\_c" in summary
    assert "- skipped: test\\_it.py::test\\_b" in summary


@pytest.mark.needs("rerunfailures")
def test_a_test_that_passed_only_when_it_was_run_again_is_a_warning(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import itertools, pytest
        count = itertools.count()
        def test_flaky(): assert next(count) > 0
        @pytest.mark.reproducible
        def test_good(): return 1
        """
    )
    status, report, predicate = run(pytester, "--reruns=2")
    assert (status, predicate["result"], names(predicate["warnedTests"])) == (0, "WARNED", ["test_flaky"])
    assert names(report["pytest"]["rerun_tests"]) == ["test_flaky"]


def test_usage_errors_and_nothing_to_run_do_not_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MARKED.format(b="return 2"))
    assert run(pytester)[2]["result"] == "PASSED"
    for options, expected in ((("no_such_file.py",), 4), (("-k", "nothing"), 5)):
        status, report, predicate = run(pytester, *options)
        assert (status, report["pytest"]["exit_status"], predicate["result"]) == (expected, expected, "FAILED")


def test_a_failing_subtest_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest, unittest
        class TestIt(unittest.TestCase):
            def test_parts(self):
                for n in range(2):
                    with self.subTest(n=n):
                        assert n == 0
        @pytest.mark.reproducible
        def test_good(): return 1
        """
    )
    status, _, predicate = run(pytester)
    if status == 0:
        pytest.skip("this pytest runs no subtests")
    assert (predicate["result"], names(predicate["failedTests"])) == ("FAILED", ["TestIt::test_parts"])


def test_only_showing_options_leaves_the_reports_of_an_earlier_session(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MARKED.format(b="return 2"))
    run(pytester)
    before = {path: path.read_bytes() for path in Path(pytester.path, "bundle").iterdir()}
    for option in ("--help", "--markers", "--fixtures", "--collect-only"):
        pytester.runpytest_subprocess("--repro-evidence=bundle", "--repro-json=r.json", option)
    assert {path: path.read_bytes() for path in Path(pytester.path, "bundle").iterdir()} == before


@pytest.mark.parametrize("options", [(), ("--repro-diagnose",), ("--repro-isolate",)])
def test_no_axis_is_blamed_for_a_repeat_that_differs(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    pytester.makepyfile(
        test_it="""
        import itertools, pathlib, pytest
        c = itertools.count()
        @pytest.mark.reproducible(runs=2, across="threads=1:2")
        def test_counter(request):
            if request.config.getoption("repro_isolate"):  # a fork counts its own calls
                path = pathlib.Path("calls")
                path.write_text(path.read_text() + "x" if path.exists() else "x")
                return len(path.read_text())
            return float(next(c))
        """
    )
    _, report, predicate = run(pytester, *options)
    (test,) = report["tests"]
    assert (test["verdict"], test["matrix"], predicate["result"]) == ("diverged", {"threads": "unstable"}, "FAILED")
    assert [(found["axis"], found["axes"]) for found in test["divergences"] if found["axis"] or found["axes"]] == []
    causes = (test["diagnosis"] or {"causes": []})["causes"]
    assert [cause for cause in causes if cause["axis"] or cause["code"].startswith(("threads.", "race."))] == []
    page, summary = ((pytester.path / "bundle" / name).read_text() for name in ("report.html", "summary.md"))
    for text in (page, summary):
        assert "reduction_order" not in text


RESULTS = """
    import pytest
    from pytest_repro import assert_close, assert_identical
    def test_caught():
        try: assert_identical(1.0, 2.0)
        except AssertionError: pass
    def test_plain(): pass
    def test_asserting(): assert_identical(1.0, 1.0)
    @pytest.mark.reproducible
    def test_good(): return 1
    @pytest.mark.reproducible
    def test_skipped(): pytest.skip("no")
    @pytest.mark.reproducible
    def test_xfail(): pytest.xfail("known")
    @pytest.mark.reproducible
    def test_differs(): return __import__("os").urandom(4).hex()
    @pytest.mark.xfail
    def test_xpass(): pass
    def test_bounds(): assert_close(1.0, 1.5, rtol=10)
"""


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("asserting or plain", "PASSED"),
        ("caught or good or skipped or xfail", "WARNED: 1 test caught an assertion that failed"),
        ("plain", "FAILED: no reproducible test and no assertion of pytest-repro ran, so nothing is shown"),
        ("differs", "FAILED: 1 test failed in pytest"),
        ("good or xpass", "PASSED"),
        ("good or bounds", "WARNED: 1 test passed only within tolerance"),
    ],
)
def test_the_summary_and_the_terminal_begin_with_the_result_and_why(
    pytester: pytest.Pytester, choice: str, expected: str
) -> None:
    pytester.makepyfile(test_it=RESULTS)
    result = pytester.runpytest_subprocess("--repro-evidence=bundle", "--no-repro-diagnose", "-k", choice)
    result.stdout.fnmatch_lines([f"evidence in bundle: {expected}"])
    summary = (pytester.path / "bundle" / "summary.md").read_text()
    head, _, why = expected.partition(": ")
    assert summary.splitlines()[2] == f"**{head}**" + (f": {why}" if why else "")
    page = (pytester.path / "bundle" / "report.html").read_text()
    assert f"<strong>{head}</strong>" in page
    assert ("within\\_tolerance: largest difference tolerated: 0.5 absolute in result" in summary) == (
        "bounds" in choice
    )
    assert ("1 skipped, 1 failed as expected" in summary) == ("skipped" in choice)
    assert ("- passed, and was expected to fail: test\\_it.py::test\\_xpass" in summary) == (
        "xpass" in choice or "xfail" in choice
    )
    read_bundle(pytester.path / "bundle", TEXTS)


def test_a_hook_that_turns_a_divergence_into_a_success_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=RESULTS)
    pytester.makeconftest("""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport():
            report = yield
            report.outcome = "passed"
            return report
    """)
    result = pytester.runpytest_subprocess("--repro-evidence=bundle", "--no-repro-diagnose", "-k", "differs")
    told = "FAILED: 1 test whose runs differ or could not be compared, though pytest reports no failure of them"
    result.stdout.fnmatch_lines([f"evidence in bundle: {told}"])
