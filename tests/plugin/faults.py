"""Real sessions for the tests of faults: run as a program, watched for what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Options under which every run is made by the engine.
ENGINES = {"fork": ["--repro-isolate"], "spawn": ["--repro-isolate", "--repro-across=process"]}
#: In the environment of a session and of all that it starts.
VARIABLE = "FAULT_TEST_SESSION"


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Leavings:
    """What a session has left behind."""

    processes: list[str]
    files: list[str]


class Program:
    """A pytest session in a process of its own.

    Parameters
    ----------
    folder : Path
        Holds the tests; the session's temporary files go into a folder of their own below it.
    options : str
    """

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.report_path = folder / "report.json"
        variables = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
        variables |= {VARIABLE: self.mark, "TMPDIR": str(self.temporary), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-ppytest_repro.plugin", "-pno:cacheprovider", "-rA"),
                # A diagnosis has tests of its own, and takes its time.
                *(f"--repro-json={self.report_path}", "--no-repro-diagnose", *options),
            ],
            cwd=folder,
            env=variables | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # As from a terminal: a signal to the group reaches all that did not leave it.
            start_new_session=True,
            # A shell starts what it puts into the background with interrupts ignored, and that is inherited.
            preexec_fn=_take_interrupts,
        )
        self.text = ""

    def finish(self, timeout_s: float = 150) -> Program:
        """Wait for the end."""
        output, _ = self.process.communicate(timeout=timeout_s)
        self.text = output.decode("utf-8", "replace")
        return self

    def interrupt(self, number: signal.Signals, *, group: bool = True) -> None:
        """Send a signal, as Ctrl-C does to the whole group of a terminal."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait_for(self, name: str, timeout_s: float = 60) -> None:
        """Wait until a test has made a file."""
        deadline = time.monotonic() + timeout_s
        while not (self.folder / name).exists():
            assert self.process.poll() is None, self.finish().text
            assert time.monotonic() < deadline, f"no {name} after {timeout_s} s"
            time.sleep(0.02)

    def test(self, name: str) -> dict[str, Any]:
        """Return one test's entry of the report."""
        tests = json.loads(self.report_path.read_text(encoding="utf-8"))["tests"]
        found = [test for test in tests if test["nodeid"].rpartition("::")[2] == name]
        assert len(found) == 1, self.text
        return dict(found[0])

    def section(self, name: str) -> str:
        """Return what the terminal shows of one failure."""
        start = self.text.index(f"_ {name} _")
        return self.text[start : self.text.find("\n____", start + 1)]

    def left(self, within_s: float = 8.0) -> Leavings:
        """Return what is still there; a keeper may take a moment after its session was killed."""
        deadline = time.monotonic() + within_s
        while (leavings := self._look()) != Leavings([], []) and time.monotonic() < deadline:
            time.sleep(0.05)
        return leavings

    def _look(self) -> Leavings:
        needle = f"{VARIABLE}={self.mark}".encode()
        processes = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if needle in (path / "environ").read_bytes().split(b"\0"):
                    processes.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return Leavings(processes, [path.name for path in self.temporary.glob("pytest-repro-*")])

    def kill_all(self) -> None:
        """End the session and what it has left, so that a failing test here leaves nothing either."""
        needle = f"{VARIABLE}={self.mark}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if needle in (path / "environ").read_bytes().split(b"\0"):
                    os.kill(int(path.name), signal.SIGKILL)
            except OSError:
                continue
