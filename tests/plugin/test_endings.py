"""A later run that ends otherwise than run 1 fails the test, whatever pytest would make of that ending alone."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator

import pytest

from pytest_repro import examine
from tests.plugin.helpers import Sessions

#: A count of runs that both a process and its forks see: each run adds a line to a file.
COUNTING = """
    import pathlib, sys, unittest, warnings
    import pytest

    def nth(name):
        path = pathlib.Path(__file__).with_name(f"{name}.count")
        number = len(path.read_text()) if path.exists() else 0
        path.write_text("x" * (number + 1))
        return number + 1

    def mark_and_fail(request):
        request.node.add_marker(pytest.mark.xfail(reason="no device"))
        assert 0
"""
#: Name -> source of a test whose second run ends otherwise, and the words for how it ended.
ENDINGS = {
    "skip": ("if nth('skip') == 2: pytest.skip('no device')", "run 2 skipped"),
    "skip_test": ("if nth('skip_test') == 2: raise unittest.SkipTest('no device')", "run 2 skipped"),
    "xfail": ("if nth('xfail') == 2: pytest.xfail('no device')", "run 2 xfailed"),
    "mark": ("if nth('mark') == 2: mark_and_fail(request)", "run 2 xfailed"),
    "exit": ("if nth('exit') == 2: pytest.exit('no device', returncode=0)", "no device"),
    "system_exit": ("if nth('system_exit') == 2: sys.exit(0)", "SystemExit"),
    "interrupt": ("if nth('interrupt') == 2: raise KeyboardInterrupt('no device')", "KeyboardInterrupt"),
    "skips_first": ("if nth('skips_first') == 1: pytest.skip('no device')", "run 1 skipped"),
    "xfails_first": ("if nth('xfails_first') == 1: pytest.xfail('no device')", "run 1 xfailed"),
    "skips_then_xfails": (
        "(pytest.skip if nth('skips_then_xfails') == 1 else pytest.xfail)('no device')",
        "run 2 xfailed",
    ),
    "fixture": ("request.getfixturevalue('sometimes')", "run 2 skipped"),
    "failing_fixture": ("request.getfixturevalue('xfailing')", "run 2 xfailed"),
    "teardown": ("request.getfixturevalue('unstable')", "no device"),
    "skipping_teardown": ("request.getfixturevalue('skipping')", "no device"),
}
FIXTURES = """
    @pytest.fixture
    def sometimes():
        if nth('sometimes') == 2: pytest.skip('no device')

    @pytest.fixture
    def xfailing():
        if nth('xfailing') == 2: pytest.xfail('no device')

    @pytest.fixture
    def unstable():
        yield
        assert nth('unstable') != 2, 'no device'

    @pytest.fixture
    def skipping():
        yield
        if nth('skipping') == 2: pytest.skip('no device')
"""
WAYS = {
    "in_process": ([], True),
    "fork": (["--repro-isolate"], True),
    "scan": (["--repro-all"], False),
}


def write_tests(*, is_marked: bool) -> str:
    """Return the source of one test for each ending."""
    mark = "    @pytest.mark.reproducible\n" if is_marked else ""
    tests = [
        f"{mark}    def test_{name}(request):\n        {body}\n        return 1\n"
        for name, (body, _) in ENDINGS.items()
    ]
    if not is_marked:
        tests = [test.replace("        return 1\n", "") for test in tests]
    return COUNTING + FIXTURES + "\n" + "\n".join(tests)


@pytest.mark.parametrize("way", [*WAYS, pytest.param("workers", marks=pytest.mark.needs("xdist"))])
def test_a_later_run_that_ends_otherwise_fails_the_test(sessions: Sessions, way: str) -> None:
    options, is_marked = WAYS.get(way, (["-n2"], True))
    plugins = ("xdist",) if way == "workers" else ()
    session = sessions.run(write_tests(is_marked=is_marked), *options, apart=True, plugins=plugins)
    assert session.outcomes.keys() <= {"failed", "errors", "passed"}, session.text
    # A test whose teardown breaks is a passed call and an error.
    assert session.outcomes.get("failed", 0) + session.outcomes.get("errors", 0) == len(ENDINGS), session.text
    assert not {"identical", "inconclusive"} & set(session.verdicts.values()), session.verdicts
    for name, (_, words) in ENDINGS.items():
        start = max(session.text.rfind(f"_ test_{name} _"), session.text.rfind(f" test_{name} _"))
        shown = session.text[start : session.text.find("\n____", start + 1)]
        assert words in shown, shown
        assert "no device" in shown or name == "system_exit", shown


def test_a_test_that_ends_alike_in_each_run_ends_as_pytest_says(sessions: Sessions) -> None:
    source = (
        COUNTING
        + """
    pytestmark = pytest.mark.reproducible(runs=4)

    def test_skips():
        nth("skips")
        pytest.skip("always")

    def test_xfails():
        nth("xfails")
        pytest.xfail("always")

    def test_marks_itself(request):
        request.node.add_marker(pytest.mark.xfail(strict=True, reason="always"))
        nth("marks_itself")
        assert 0

    @pytest.mark.skip(reason="by mark")
    def test_skipped_by_mark():
        nth("skipped_by_mark")

    @pytest.mark.xfail(strict=True)
    def test_expected():
        assert nth("expected") < 2

    @pytest.mark.xfail
    def test_expected_skip():
        if nth("expected_skip") == 2: pytest.skip("known")
        return 1

    def test_leaves_no_mark(request):
        assert request.node.get_closest_marker("xfail") is None
        if nth("leaves_no_mark") == 1:
            request.node.add_marker(pytest.mark.xfail)
        return 1
    """
    )
    for options in ([], ["--repro-isolate"]):
        for path in sessions.folder.glob("*.count"):
            path.unlink()
        session = sessions.run(source, *options, apart=True)
        assert session.outcomes == {"skipped": 2, "xfailed": 4, "passed": 1}, session.text
        # One repeat shows that the choice repeats. A mark settles it before any run.
        counts = {path.stem: len(path.read_text()) for path in sessions.folder.glob("*.count")}
        assert [counts.get(name) for name in ("skips", "xfails", "marks_itself")] == [2, 2, 2]
        assert "skipped_by_mark" not in counts


def test_a_strict_mark_that_the_test_adds_to_one_run_only_does_not_hide_that_run(sessions: Sessions) -> None:
    source = (
        COUNTING
        + """
    @pytest.mark.reproducible
    def test_it(request):
        if nth("it") == 2:
            request.node.add_marker(pytest.mark.xfail(strict=True, reason="only now"))
            raise ValueError
        return 1
    """
    )
    session = sessions.run(source)
    assert session.outcomes == {"failed": 1}, session.text
    assert "run 1 passed, run 2 xfailed at test_it.py:" in session.text


def test_a_function_that_skips_or_exits_in_a_later_run_has_diverged() -> None:
    for ending in (pytest.skip, pytest.xfail, pytest.exit, sys.exit):
        calls = itertools.count(1)

        def function(ending: Callable[[str], object] = ending, calls: Iterator[int] = calls) -> int:
            if next(calls) == 2:
                ending("no device")
            return 1

        examination = examine(function)
        assert not examination
        assert "run 1 passed, run 2 " in str(examination)
        assert "no device" in str(examination)
        assert "test_endings.py:" in str(examination)


def test_an_example_that_xfails_in_a_repeat_fails_the_test(sessions: Sessions) -> None:
    source = """
        import itertools, pytest
        from hypothesis import given, settings, strategies as st

        calls = itertools.count(1)

        @pytest.mark.reproducible
        @settings(max_examples=5, database=None)
        @given(st.integers())
        def test_it(x):
            if next(calls) % 2 == 0:
                pytest.xfail("no device")
            return x
    """
    session = sessions.run(source)
    assert session.outcomes == {"failed": 1}, session.text
    assert session.verdicts == {"test_it": "diverged"}


@pytest.mark.parametrize("options", [[], ["--repro-isolate"]], ids=["in_process", "fork"])
def test_a_refused_capture_that_the_test_catches_makes_it_inconclusive(sessions: Sessions, options: list[str]) -> None:
    source = """
        import threading
        import pytest

        pytestmark = pytest.mark.reproducible

        def test_generator(repro):
            for name, value in {"loss": 1.0, "hist": (x for x in [repro.run])}.items():
                try:
                    repro.capture(name, value)
                except Exception:
                    print("could not log", name)

        def test_name_used_twice(repro):
            repro.capture("loss", 1.0)
            try:
                repro.step(0, loss=1.0)
                repro.capture("loss", repro.run)
            except Exception:
                pass

        @pytest.mark.filterwarnings("ignore")
        def test_in_a_thread(repro):
            repro.capture("loss", 1.0)
            thread = threading.Thread(target=repro.capture, args=("hist", (x for x in [])))
            thread.start()
            thread.join()

        def test_differs_as_well(repro):
            try:
                repro.capture("hist", (x for x in [repro.run]))
            except Exception:
                return repro.run
    """
    session = sessions.run(source, *options)
    assert session.verdicts["test_generator"] == session.verdicts["test_name_used_twice"] == "inconclusive"
    assert session.verdicts["test_differs_as_well"] == "diverged"
    assert session.verdicts["test_in_a_thread"] == "inconclusive"
    assert "hist (generator): its capture was refused" in session.test("test_generator")["reason"]
    assert session.test("test_generator")["not_compared"][0]["name"] == "hist"
    assert "already used" in session.test("test_name_used_twice")["reason"]


def test_an_interrupt_that_a_user_sends_in_a_later_run_ends_the_session(sessions: Sessions) -> None:
    source = """
        import os, signal, time, pytest

        @pytest.mark.reproducible
        def test_it(repro):
            if repro.run == 2:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            return 1

        def test_after():
            pass
    """
    session = sessions.run(source, apart=True)
    assert session.exitcode == pytest.ExitCode.INTERRUPTED, session.text
    assert "passed" not in session.outcomes
