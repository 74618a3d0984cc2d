"""Helpers that run pytest on files that a test writes, and read its outcomes, output and JSON report."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  # a session in this process drops what it imports, and NumPy cannot be imported twice
import pytest

#: Module of each plugin that a session can load. Sessions load no others, so that they are quick and alike everywhere.
PLUGINS = {
    "anyio": "anyio.pytest_plugin",
    "asyncio": "pytest_asyncio.plugin",
    "benchmark": "pytest_benchmark.plugin",
    "cov": "pytest_cov.plugin",
    "hypothesis": "_hypothesis_pytestplugin",
    "randomly": "pytest_randomly",
    "repeat": "pytest_repeat",
    "rerunfailures": "pytest_rerunfailures",
    "timeout": "pytest_timeout",
    "xdist": "xdist.plugin",
}
#: Counts in pytest's last line that are not outcomes of tests.
NO_OUTCOMES = ("warning", "warnings", "deselected")


def is_installed(name: str) -> bool:
    """Return whether a plugin (by its key in `PLUGINS`) or a module is installed, without importing it."""
    return importlib.util.find_spec(PLUGINS.get(name, name).partition(".")[0]) is not None


def find_test(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the entry of one test, named without its file, in a JSON report."""
    found = [test for test in report["tests"] if test["nodeid"].partition("::")[2] == name]
    assert len(found) == 1, [test["nodeid"] for test in report["tests"]]
    return dict(found[0])


def unwrap(text: str) -> str:
    """Return an output with the lines joined to which a message's heading, findings and figures are wrapped."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = next((len(m[1]) for m in [_CONTINUED.match(line)] if m), 0)
        if indent and lines and _STARTS[indent].match(lines[-1]):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


#: Where a line goes on, and how the line begins that goes on there: a heading or finding, a row of a message of
#: `assert_*_equivalent`, a figure.
_CONTINUED = re.compile(r"( {10}| {12}| {14})(?=\S)(?!run \d+: )")
_STARTS = {
    10: re.compile(r"\S|  [a-z]+ +\S"),
    12: re.compile(r"  [a-z]+ +\S"),
    14: re.compile(r"    [a-z ]{8,9} +\S"),
}


@dataclass
class Session:
    """A finished pytest session."""

    run: pytest.RunResult
    report: dict[str, Any] | None

    @property
    def text(self) -> str:
        """The session's output, with each finding of a message in one line, as if the terminal were wide."""
        return unwrap(str(self.run.stdout.str()))

    @property
    def exitcode(self) -> int:
        """The session's exit status."""
        return int(self.run.ret)

    @property
    def outcomes(self) -> dict[str, int]:
        """Counts of the tests' outcomes in the last line: ``{"passed": 1}``."""
        counts = self.run.parseoutcomes()
        return {name: count for name, count in counts.items() if name not in NO_OUTCOMES}

    @property
    def verdicts(self) -> dict[str, str]:
        """Test's name (without its file) -> verdict."""
        assert self.report is not None, self.text
        return {test["nodeid"].partition("::")[2]: test["verdict"] for test in self.report["tests"]}

    def test(self, name: str) -> dict[str, Any]:
        """Return one test's entry of the report."""
        assert self.report is not None, self.text
        return find_test(self.report, name)

    def outcomes_of_runs(self, name: str) -> list[str]:
        """Return the outcomes of a test's runs, in order."""
        return [run["outcome"] for run in self.test(name)["runs"]]


class Sessions:
    """Write files into an empty folder and run pytest there.

    Parameters
    ----------
    pytester : pytest.Pytester
    needed : frozenset of str
        What the test's `needs` marks name: the plugins that its sessions may load.
    """

    def __init__(self, pytester: pytest.Pytester, needed: frozenset[str] = frozenset()) -> None:
        self.pytester = pytester
        self._needed = needed

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return self.pytester.path

    def write(self, source: str, name: str = "test_it.py") -> Path:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def run(
        self,
        source: str | None = None,
        *options: str,
        conftest: str = "",
        ini: str = "",
        plugins: tuple[str, ...] = (),
        apart: bool = False,
        json_report: bool = True,
    ) -> Session:
        """Run pytest on `source`, in a process of its own if `apart` or if another plugin is loaded."""
        if source is not None:
            self.write(source)
        if conftest:
            self.write(conftest, "conftest.py")
        if ini:
            self.write("[pytest]\n" + textwrap.dedent(ini), "pytest.ini")
        path = self.folder / "report.json"
        path.unlink(missing_ok=True)
        arguments = self.arguments(*options, plugins=plugins)
        if json_report:
            arguments.append(f"--repro-json={path}")
        if apart or plugins:
            run = self.pytester.runpytest_subprocess(*arguments, timeout=120)
        else:
            run = self.pytester.runpytest_inprocess(*arguments)
        return Session(run, _read(path))

    def run_program(
        self, *options: str, folder: Path | None = None, environment: Mapping[str, str] | None = None, given: str = ""
    ) -> Session:
        """Run pytest as a user's shell would: in a folder, with an environment (default: this one) and an input."""
        folder = folder or self.folder
        started = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *self.arguments(*options), "--repro-json=report.json"],
            cwd=folder,
            env=os.environ if environment is None else environment,
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=180,
        )
        lines = ended.stdout.splitlines(), ended.stderr.splitlines()
        run = pytest.RunResult(ended.returncode, *lines, time.perf_counter() - started)
        return Session(run, _read(folder / "report.json"))

    def arguments(self, *options: str, plugins: tuple[str, ...] = ()) -> list[str]:
        """Return pytest's arguments: the plugin under test, its named neighbours, the options."""
        unmarked = [name for name in plugins if name not in self._needed]
        assert not unmarked, f"mark the test with @pytest.mark.needs: {unmarked}"
        modules = ["pytest_repro.plugin", *(PLUGINS[name] for name in plugins)]
        summary = [] if any("no:terminal" in option for option in options) else ["-rA"]
        # A diagnosis makes many more runs: only the tests that are about one request it.
        quick = [] if "--repro-diagnose" in options else ["--no-repro-diagnose"]
        # Failures are shown whole: most tests read what a short message leaves out.
        whole = "-overbosity_assertions=1"
        return [*(f"-p{module}" for module in modules), "-pno:cacheprovider", whole, *summary, *quick, *options]


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
