"""A failure as the user's terminal shows it: its width, colours and length are those of the process that has it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.plugin.helpers import Session, Sessions

#: A test that differs in its second run, in more artifacts than a short message lists.
DIFFERS = """
    import itertools
    import numpy as np
    import pytest

    calls = itertools.count()

    @pytest.mark.reproducible
    def test_differs():
        values = np.arange(4.0) + next(calls)
        return {f"encoder/layers/{i}/self_attention/out_projection/weight": values for i in range(20)}
"""
#: Short, as a user gets it.
SHORT = "-overbosity_assertions=auto"
RED = "\x1b[31m\x1b[1mRun 2 of 2 differs"


def failure(session: Session) -> list[str]:
    """Return the lines of the only failure."""
    lines = session.run.stdout.lines
    start = next(n for n, line in enumerate(lines) if "Run 2 of 2" in line)
    return lines[start : next(n for n, line in enumerate(lines) if n > start and "====" in line)]


@pytest.mark.parametrize("columns", [60, 80, 300])
def test_a_failure_is_short_and_as_wide_as_the_terminal(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = failure(sessions.run(DIFFERS, SHORT))
    assert len(shown) <= 12
    commands = [line for line in shown if line.startswith("  next ")]
    assert max(len(line) for line in shown if line not in commands) <= min(columns, 100)
    assert commands == ["  next    pytest test_it.py::test_differs --repro-runs=2 --repro-seed=0"]
    assert any("more artifacts" in line for line in shown)


@pytest.mark.parametrize("option", ["-v", "-overbosity_assertions=1"])
def test_verbosity_shows_the_rest(sessions: Sessions, option: str) -> None:
    shown = failure(sessions.run(DIFFERS, SHORT, option))
    assert "    allowed   no difference" in shown
    assert "  ... and 10 more" in shown


@pytest.mark.parametrize("plugins", [(), pytest.param(("xdist",), marks=pytest.mark.needs("xdist"))], ids=str)
def test_the_colours_are_those_of_the_process_with_the_terminal(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, plugins: tuple[str, ...]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("PY_COLORS", raising=False)
    workers = ["-n1"] if plugins else []
    options = [SHORT, "--junitxml=junit.xml", *workers]
    coloured = sessions.run(DIFFERS, "--color=yes", *options, plugins=plugins, apart=True)
    assert RED in "\n".join(failure(coloured))
    text = (sessions.folder / "junit.xml").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "[31m" not in text
    (element,) = ElementTree.fromstring(text).iter("failure")
    assert element.attrib["message"].startswith("Run 2 of 2 differs from run 1 (seed ")
    assert "allowed   no difference" in str(element.text)  # the whole text, whatever the terminal shows
    plain = sessions.run(DIFFERS, "--color=no", *options, plugins=plugins, apart=True)
    assert "\x1b" not in "\n".join(failure(plain))


@pytest.mark.parametrize(
    "variable, is_coloured", [("NO_COLOR", False), ("FORCE_COLOR", True)], ids=["NO_COLOR", "FORCE_COLOR"]
)
def test_the_variables_for_colours_are_respected(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, variable: str, is_coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "1")
    session = sessions.run(DIFFERS, SHORT, "--junitxml=junit.xml", apart=True)
    assert (RED in "\n".join(failure(session))) == is_coloured
    assert "[31m" not in (sessions.folder / "junit.xml").read_text(encoding="utf-8")


def test_another_plugin_reads_the_whole_text_without_colours(sessions: Sessions) -> None:
    conftest = """
        import pathlib, pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if report.failed:
                pathlib.Path("seen.txt").write_text(report.longreprtext)
    """
    sessions.run(DIFFERS, SHORT, "--color=yes", conftest=conftest)
    seen = (sessions.folder / "seen.txt").read_text(encoding="utf-8")
    assert "allowed   no difference" in seen
    assert "\x1b" not in seen


@pytest.mark.parametrize("style", ["long", "short", "native", "line", "no"])
def test_each_style_of_tracebacks_works(sessions: Sessions, style: str) -> None:
    session = sessions.run(DIFFERS, SHORT, f"--tb={style}")
    assert session.outcomes == {"failed": 1}
    heading = "Run 2 of 2 differs from run 1"
    expected = {"no": 0, "line": 1}.get(style, 1)
    above_the_summary = session.text.partition("short test summary info")[0]
    assert above_the_summary.count(heading) == expected
    assert ("  next    pytest" in above_the_summary) == (style not in ("line", "no"))


def test_an_error_of_usage_takes_the_width_of_the_terminal_too(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_one():
            return (i for i in range(3))
    """
    session = sessions.run(source, SHORT)
    shown = session.run.stdout.lines
    start = next(n for n, line in enumerate(shown) if line.startswith("cannot capture 'result'"))
    assert max(map(len, shown[start : start + 2])) <= 80
    assert shown[start + 1] == "          list(...) of it"


FAILS = """
    import helper
    import numpy as np
    import pytest
    import pytest_repro

    calls = []

    @pytest.mark.reproducible
    def test_raises():
        helper.work(1)

    @pytest.mark.reproducible
    def test_raises_in_run_2():
        calls.append(1)
        return helper.work(len(calls) - 1 and 1)

    @pytest.mark.reproducible
    def test_broken_fixture(broken):
        return 1

    @pytest.mark.reproducible
    def test_ends_badly(ends_badly):
        return 1

    @pytest.mark.reproducible
    def test_assertion():
        pytest_repro.assert_close(np.ones(3), np.zeros(3))

    def test_unmarked():
        pytest_repro.assert_reproducible(lambda: helper.work(1))

    @pytest.mark.reproducible
    def test_captured_twice(repro):
        repro.capture("x", 1)
        repro.capture("x", 1)

    @pytest.mark.reproducible(across={"hash_seed": [1, 2]})
    def test_elsewhere():
        helper.work(1)

    @pytest.mark.reproducible(across={"hash_seed": [1, 2]})
    def test_elsewhere_with_a_broken_fixture(broken):
        return 1
"""
HELPERS = """
    def work(n):
        if n:
            raise KeyError(n)
        return n
"""
FIXTURES = """
    import pytest

    @pytest.fixture
    def broken():
        raise ValueError("in a fixture")

    @pytest.fixture
    def ends_badly():
        yield
        raise ValueError("in a fixture")
"""


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_no_frame_of_the_plugin_is_in_a_traceback(sessions: Sessions, style: str) -> None:
    sessions.write(HELPERS, "helper.py")
    session = sessions.run(FAILS, SHORT, f"--tb={style}", conftest=FIXTURES)
    assert session.outcomes == {"failed": 7, "errors": 2, "passed": 1}
    assert "pytest_repro/" not in session.text
    assert session.text.count("in a fixture") >= 3
    assert "helper.py" in session.text


def test_a_bug_of_the_plugin_keeps_its_frames(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest
        from pytest_repro.comparing import asserting

        @pytest.mark.reproducible
        def test_one(monkeypatch):
            monkeypatch.setattr(asserting, "compare", None)
            asserting.assert_close(1, 2)
        """,
        "--tb=native",
    )
    assert session.outcomes == {"failed": 1}
    assert "pytest_repro/comparing/asserting.py" in session.text
