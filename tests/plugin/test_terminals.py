"""The live line and the debugger, which need a terminal."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.plugin.helpers import Sessions

pytestmark = [
    pytest.mark.needs("pexpect"),
    pytest.mark.skipif(sys.platform == "win32", reason="pexpect has no pseudo-terminal on Windows"),
]

SLOW = """
    import sys
    import time

    import pytest

    @pytest.mark.reproducible
    def test_slow_training(repro):
        time.sleep(0.8)
        return 1

    @pytest.mark.reproducible
    def test_quick():
        return 1

    def test_ordinary():
        pass
"""


def spawn(sessions: Sessions, *options: str) -> Any:
    """Start pytest on a terminal."""
    import pexpect

    child = pexpect.spawn(
        sys.executable,
        ["-m", "pytest", *sessions.arguments(*options)],
        cwd=str(sessions.folder),
        timeout=60,
        encoding="utf-8",
    )
    child.setwinsize(40, 120)
    return child


def finish(child: Any) -> str:
    """Wait for the end, and return the output since the last expected text."""
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


def test_the_line_of_a_long_run_is_shown_and_removed(sessions: Sessions) -> None:
    sessions.write(SLOW)
    child = spawn(sessions)
    child.expect_exact("test_slow_training: run 1 of 2, ")
    child.expect_exact("test_slow_training: run 2 of 2, ")
    rest = finish(child)
    assert "test_quick: run" not in rest
    # Cleared behind the cursor before the result's letter was written.
    assert "\x1b[K" in rest
    assert "3 passed" in rest
    assert child.exitstatus == 0


SEARCHED = """
    import os, time
    import pytest

    @pytest.mark.reproducible(across={"env": [None, {"MODE": "fast"}], "hash_seed": [1, 2]})
    def test_mode():
        time.sleep(0.7)
        return os.environ.get("MODE")
"""


def test_the_line_says_what_is_done_how_far_and_of_how_long(sessions: Sessions) -> None:
    sessions.write(SEARCHED)
    child = spawn(sessions, "--repro-diagnose", "--repro-diagnose-budget=60")
    child.expect(r"isolating env, hash_seed, \d+ of about \d+, \d+ of 60 s CPU\x1b8")
    child.expect(r" diagnosing: [a-z ]+, \d+ of about \d+, \d+ of 60 s CPU\x1b8")
    child.close(force=True)


@pytest.mark.parametrize("options", [["-v"], ["-s"]])
def test_the_line_leaves_the_result_lines_intact(sessions: Sessions, options: list[str]) -> None:
    sessions.write(SLOW)
    child = spawn(sessions, "--color=no", *options)
    text = finish(child)
    assert "run 1 of 2" in text
    shown = render(text)
    assert "run 1 of 2" not in shown
    if options == ["-v"]:
        assert "test_it.py::test_slow_training PASSED" in shown
    assert "3 passed" in shown


def render(text: str) -> str:
    """Return what a terminal shows, for the few sequences that the line uses."""
    lines, row, column, saved = [[]], 0, 0, (0, 0)
    i = 0
    while i < len(text):
        if text.startswith("\x1b7", i):
            saved, i = (row, column), i + 2
        elif text.startswith("\x1b8", i):
            (row, column), i = saved, i + 2
        elif text.startswith("\x1b[K", i):
            del lines[row][column:]
            i += 3
        elif text[i] == "\n":
            row, i = row + 1, i + 1
            while len(lines) <= row:
                lines.append([])
        elif text[i] == "\r":
            column, i = 0, i + 1
        else:
            line = lines[row]
            line.extend(" " * (column - len(line)))
            line[column : column + 1] = [text[i]]
            column, i = column + 1, i + 1
    return "\n".join("".join(line) for line in lines)


@pytest.mark.parametrize("variable", [{"CI": "true"}, {"TERM": "dumb"}, {}], ids=["ci", "dumb", "pipe"])
def test_the_line_is_absent_from_a_pipe_and_a_log(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, variable: dict[str, str]
) -> None:
    sessions.write(SLOW)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    if variable:
        text = finish(spawn(sessions))
    else:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *sessions.arguments()],
            cwd=sessions.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        text = done.stdout + done.stderr
    assert "run 1 of 2" not in text
    assert "\x1b7" not in text
    assert "3 passed" in text


def test_the_line_needs_no_terminal_plugin(sessions: Sessions) -> None:
    sessions.write(SLOW)
    child = spawn(sessions, "-pno:terminal", "-Werror")
    text = finish(child)
    assert text.strip() == ""
    assert child.exitstatus == 0


DEBUGGED = """
    import itertools
    import pytest

    calls = itertools.count()
    log = []

    @pytest.fixture
    def resource():
        yield "resource"
        print("torn down")

    @pytest.mark.reproducible
    def test_differs(resource):
        local = next(calls)
        return local

    @pytest.mark.reproducible
    def test_raises(repro):
        number = repro.run
        assert number == 1, "second run"
        return 1
"""


def test_the_debugger_stops_in_a_failing_run_before_its_teardown(sessions: Sessions) -> None:
    sessions.write(DEBUGGED)
    child = spawn(sessions, "--pdb", "-k", "raises")
    child.expect_exact("(Pdb)")
    child.sendline("p number")
    child.expect(r"\n2\r")
    child.expect_exact("(Pdb)")
    child.sendline("c")
    assert "1 failed" in finish(child)


def test_the_debugger_stops_at_a_divergence(sessions: Sessions) -> None:
    sessions.write(DEBUGGED)
    child = spawn(sessions, "--pdb", "-s", "-k", "differs")
    child.expect_exact("(Pdb)")
    assert "Run 2 of 2 differs from run 1" in child.before
    # Run 1's; run 2 still has its fixtures.
    assert child.before.count("torn down") == 1
    child.sendline("q")
    assert "1 failed" in finish(child)


def test_trace_stops_at_the_start_of_each_run_and_the_result_still_counts(sessions: Sessions) -> None:
    sessions.write(DEBUGGED)
    child = spawn(sessions, "--trace", "-k", "differs")
    for _ in range(2):
        child.expect_exact("(Pdb)")
        child.sendline("c")
    text = finish(child)
    assert "Run 2 of 2 differs from run 1" in text
    assert "1 failed" in text
