"""Pytest sessions as programs, with the processes and files that they leave behind."""

from __future__ import annotations

import contextlib
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

from tests.plugin.helpers import find_test, unwrap

#: Options under which the engine makes every run.
ENGINES = {"fork": ["--repro-isolate"], "spawn": ["--repro-isolate", "--repro-across=process"]}
#: Variable in the environment of a session and of all processes that it starts.
VARIABLE = "FAULT_TEST_SESSION"


def _take_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class Leavings:
    """Processes and files that a session has left behind."""

    processes: list[str]
    files: list[str]


class Program:
    """A pytest session in a process of its own.

    Parameters
    ----------
    folder : Path
        Folder of the tests. The session's temporary files go into a subfolder.
    options : str
    """

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.report_path = folder / "report.json"
        variables = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("PYTEST_", "GITHUB_", "PYTHONHASHSEED"))
        }
        variables |= {VARIABLE: self.mark, "TMPDIR": str(self.temporary), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-ppytest_repro.plugin", "-pno:cacheprovider", "-rA"),
                # A diagnosis takes long and has its own tests, which request it.
                *(f"--repro-json={self.report_path}", "--no-repro-diagnose", *options),
            ],
            cwd=folder,
            env=variables | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # As from a terminal: a signal to the group reaches every process that did not leave it.
            start_new_session=True,
            # A shell starts background jobs with interrupts ignored, nohup ignores SIGHUP, and children inherit that.
            preexec_fn=_take_signals if os.name == "posix" else None,
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
        """Wait until a test has created a file."""
        deadline = time.monotonic() + timeout_s
        while not (self.folder / name).exists():
            assert self.process.poll() is None, self.finish().text
            assert time.monotonic() < deadline, f"no {name} after {timeout_s} s"
            time.sleep(0.02)

    def test(self, name: str) -> dict[str, Any]:
        """Return one test's entry of the report."""
        assert self.report_path.exists(), self.text
        return find_test(json.loads(self.report_path.read_text(encoding="utf-8")), name)

    def section(self, name: str) -> str:
        """Return the part of the output that shows one failure, with each finding in one line."""
        start = self.text.index(f"_ {name} _")
        return unwrap(self.text[start : self.text.find("\n____", start + 1)])

    def left(self, within_s: float = 8.0) -> Leavings:
        """Return what the session left behind, after a moment for its keeper to clear up."""
        deadline = time.monotonic() + within_s
        while (leavings := self._find_leavings()) != Leavings([], []) and time.monotonic() < deadline:
            time.sleep(0.05)
        return leavings

    def _find_leavings(self) -> Leavings:
        return Leavings(list(self._processes().values()), [path.name for path in self.temporary.glob("pytest-repro-*")])

    def _processes(self) -> dict[int, str]:
        """Return the processes of the session that are alive: id -> command."""
        needle = f"{VARIABLE}={self.mark}".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if needle in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def kill_all(self) -> None:
        """End all processes of the session, so that a failing test leaves nothing behind either."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
