"""pytest's own options keep their meaning with repeated tests."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.plugin.helpers import Sessions

MIXED = """
    import itertools
    import time

    import pytest

    calls = itertools.count()

    @pytest.fixture(scope="module")
    def module():
        return 1

    @pytest.fixture
    def function(module):
        yield 2

    @pytest.mark.reproducible
    def test_same(function):
        return function

    @pytest.mark.reproducible
    def test_differs(function):
        return next(calls)

    def test_ordinary():
        return None
"""


def test_last_failed_first_failed_and_stepwise(sessions: Sessions) -> None:
    sessions.write(MIXED)
    run = sessions.pytester.runpytest_inprocess
    base = ["-ppytest_repro.plugin", "-rA", "--no-repro-diagnose"]
    run(*base).assert_outcomes(passed=2, failed=1)
    again = run(*base, "--lf")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*run-last-failure: rerun previous 1 failure*"])
    first = run(*base, "--ff")
    first.assert_outcomes(passed=2, failed=1)
    first.stdout.fnmatch_lines(["test_it.py F..*"])
    run(*base, "--sw").assert_outcomes(passed=1, failed=1)
    run(*base, "--sw").assert_outcomes(failed=1, deselected=1)


def test_durations_and_junit_report_the_time_of_all_runs(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import time
        import pytest

        @pytest.fixture
        def slow():
            time.sleep(0.02)
            yield
            time.sleep(0.02)

        @pytest.mark.reproducible(runs=3)
        def test_slow(slow, record_property):
            record_property("own", "once")
            time.sleep(0.1)
            return 1

        @pytest.mark.reproducible
        def test_differs():
            return time.perf_counter_ns()
        """,
        "--durations=0",
        "-vv",
        "--junitxml=junit.xml",
        conftest="""
        def pytest_collection_modifyitems(items):
            for item in items:
                item.user_properties.append(("owner", "team"))
        """,
    )
    session.run.stdout.re_match_lines([r"0\.[3-9]\ds call +test_it.py::test_slow"])
    root = ElementTree.parse(sessions.folder / "junit.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == ["test_slow", "test_differs"]
    assert len(list(root.iter("testcase"))) == 2
    assert float(cases["test_slow"].get("time") or 0) >= 0.4
    properties = [(p.get("name"), p.get("value")) for p in cases["test_slow"].iter("property")]
    assert sorted(properties) == [
        ("own", "once"),
        ("owner", "team"),
        ("repro_digest", session.test("test_slow")["runs"][0]["digest"]),
        ("repro_seed", str(session.test("test_slow")["seed"])),
        ("repro_verdict", "identical"),
    ]
    (failure,) = cases["test_differs"].iter("failure")
    assert (failure.get("message") or "").startswith("Run 2 of 2 differs from run 1")
    assert root[0].get("failures") == "1"


@pytest.mark.parametrize(
    "options",
    [[], ["--repro-isolate"], ["--repro-across=process"], pytest.param(["-n2"], marks=pytest.mark.needs("xdist"))],
    ids=["in process", "fork", "spawn", "xdist"],
)
def test_junit_has_the_verdict_and_one_digest_of_each_test(sessions: Sessions, options: list[str]) -> None:
    source = """
    import itertools
    import pytest

    calls = itertools.count()

    @pytest.mark.reproducible
    def test_same(): return 1.5

    @pytest.mark.reproducible
    def test_other(repro): return repro.run

    @pytest.mark.reproducible
    def test_nothing(): pass
    """
    plugins = ("xdist",) if "-n2" in options else ()
    session = sessions.run(source, "--junitxml=junit.xml", *options, plugins=plugins, json_report=False)
    cases = list(ElementTree.parse(sessions.folder / "junit.xml").getroot().iter("testcase"))
    found = {c.get("name"): {p.get("name"): str(p.get("value")) for p in c.iter("property")} for c in cases}
    assert {name: p["repro_verdict"] for name, p in found.items()} == {
        "test_same": "identical",
        "test_other": "diverged",
        "test_nothing": "inconclusive",
    }
    # The digest depends only on the values, so it is the same wherever the runs were made.
    from pytest_repro.capturing import capture_tree, digest

    assert found["test_same"]["repro_digest"] == digest(capture_tree(1.5))
    assert found["test_other"]["repro_digest"] == digest(capture_tree(1))
    assert "repro_digest" not in found["test_nothing"]
    names = [p.get("name") for c in cases for p in c.iter("property")]
    assert len(names) == 8
    assert session.exitcode == 1


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only", "--collect-only"])
def test_options_that_run_no_test_report_no_verdict(sessions: Sessions, option: str) -> None:
    session = sessions.run(MIXED, option)
    assert session.exitcode == 0
    if option == "--collect-only":
        assert session.report is None  # nothing is to be run: a report of an earlier session stays
    else:
        assert session.report is not None
        assert (session.report["tests"], "environment" in session.report) == ([], False)
        assert session.text.count("SETUP    F function") == 2
        assert session.text.count("(fixtures used: function, module") == 2


def test_setup_show_lists_every_run(sessions: Sessions) -> None:
    session = sessions.run(MIXED, "--setup-show")
    assert session.text.count("SETUP    M module") == 1
    assert session.text.count("SETUP    F function") == 4
    assert session.text.count("test_same (fixtures used: function, module") == 2
    assert session.outcomes == {"passed": 2, "failed": 1}


@pytest.mark.parametrize("options", [["-q"], ["-qq"], ["-v"], ["-vv"], ["--no-summary"], ["--tb=no"], ["--no-header"]])
def test_verbosity_changes_no_verdict(sessions: Sessions, options: list[str]) -> None:
    session = sessions.run(MIXED, *options)
    assert session.exitcode == 1
    assert session.verdicts == {"test_same": "identical", "test_differs": "diverged"}
    if "-v" in options:
        session.run.stdout.fnmatch_lines(["test_it.py::test_same PASSED*", "test_it.py::test_differs FAILED*"])


def test_without_capturing_the_output_of_each_run_is_shown(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible
        def test_it(repro):
            print("hello from", repro.run)
            return 1
        """,
        "-s",
    )
    assert "hello from 1" in session.text
    assert "hello from 2" in session.text


def test_verdicts_and_exit_status_do_not_need_the_terminal_plugin(sessions: Sessions) -> None:
    session = sessions.run(MIXED, "-p", "no:terminal")
    assert session.exitcode == 1
    assert session.verdicts == {"test_same": "identical", "test_differs": "diverged"}
    assert session.text.strip() == ""


def test_the_plugin_warns_of_nothing_where_warnings_are_errors(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import numpy as np
        import pytest

        @pytest.mark.reproducible(runs=3)
        def test_same(repro, tmp_path, seed_all):
            repro.capture("name", "x")
            return np.random.rand(3)

        @pytest.mark.reproducible
        @pytest.mark.parametrize("x", [1, 2])
        def test_table(x):
            return x

        def test_ordinary():
            assert True
        """,
        "--repro-all",
        "-Werror",
        "--strict-markers",
        "--strict-config",
        apart=True,
    )
    assert session.outcomes == {"passed": 4}, session.text


def test_pytest_lists_the_marker(sessions: Sessions) -> None:
    session = sessions.run("", "--markers", json_report=False)
    assert "@pytest.mark.reproducible(*, runs=2, across=None, max_ulp=0" in session.text


def test_help_lists_every_option_with_its_ini_twin(sessions: Sessions) -> None:
    from pytest_repro.plugin import OPTIONS

    text = sessions.run("", "--help", json_report=False).text
    for name, *_ in OPTIONS:
        assert f"--{name.replace('_', '-')}" in text
        assert f"  {name} (" in text
    assert "--repro-json" in text
