"""Run pytest on files that a test writes, and read what came of it: outcomes, text, and the JSON report."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  # a session in this process drops what it imports, and NumPy cannot be imported twice
import pytest

#: Plugins by the name that pytest's -p takes; sessions load no others, so that tests are quick and alike everywhere.
PLUGINS = {
    "anyio": "anyio.pytest_plugin",
    "asyncio": "pytest_asyncio",
    "benchmark": "pytest_benchmark",
    "cov": "pytest_cov",
    "hypothesis": "_hypothesis_pytestplugin",
    "randomly": "pytest_randomly",
    "repeat": "pytest_repeat",
    "rerunfailures": "pytest_rerunfailures",
    "timeout": "pytest_timeout",
    "xdist": "xdist",
}
#: The module behind -p, where it is another one, or part of one.
NO_OUTCOMES = ("warning", "warnings", "deselected")
MODULES = {
    "pytest_asyncio": "pytest_asyncio.plugin",
    "pytest_benchmark": "pytest_benchmark.plugin",
    "pytest_cov": "pytest_cov.plugin",
    "xdist": "xdist.plugin",
}


@dataclass
class Session:
    """One finished pytest session."""

    run: Any
    report: dict[str, Any] | None

    @property
    def text(self) -> str:
        """What it printed."""
        return str(self.run.stdout.str())

    @property
    def exitcode(self) -> int:
        """Its exit status."""
        return int(self.run.ret)

    @property
    def outcomes(self) -> dict[str, int]:
        """The counts of the last line: ``{"passed": 1}``; those that are no outcome of a test left out."""
        counts = self.run.parseoutcomes()
        return {name: count for name, count in counts.items() if name not in NO_OUTCOMES}

    @property
    def verdicts(self) -> dict[str, str]:
        """Test's name (without its file) -> verdict."""
        assert self.report is not None
        return {test["nodeid"].partition("::")[2]: test["verdict"] for test in self.report["tests"]}

    def test(self, name: str) -> dict[str, Any]:
        """Return one test's entry of the report."""
        assert self.report is not None
        found = [test for test in self.report["tests"] if test["nodeid"].partition("::")[2] == name]
        assert len(found) == 1, self.verdicts
        return dict(found[0])

    def outcomes_of_runs(self, name: str) -> list[str]:
        """Return how the runs of a test ended, in order."""
        return [run["outcome"] for run in self.test(name)["runs"]]


class Sessions:
    """Writes files into a folder of its own and runs pytest there.

    Parameters
    ----------
    pytester : pytest.Pytester
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    @property
    def folder(self) -> Path:
        """Where the files are."""
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
        """Run pytest on `source`; `apart` in a process of its own, as plugins that act on the whole process need."""
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
        return Session(run, json.loads(path.read_text(encoding="utf-8")) if path.exists() else None)

    def arguments(self, *options: str, plugins: tuple[str, ...] = ()) -> list[str]:
        """Return pytest's arguments: the plugin under test, its named neighbours, the options."""
        names = ["pytest_repro.plugin"]
        for plugin in plugins:
            module = PLUGINS[plugin]
            needs(module.partition(".")[0])
            names.append(MODULES.get(module, module))
        summary = [] if any("no:terminal" in option for option in options) else ["-rA"]
        # A diagnosis makes many more runs: the tests that are about one ask for it.
        quick = [] if "--repro-diagnose" in options else ["--no-repro-diagnose"]
        return [*(f"-p{name}" for name in names), "-pno:cacheprovider", *summary, *quick, *options]


def needs(*modules: str) -> None:
    """Skip the test where a module is absent, without importing it: what is imported here would be dropped again."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


#: What a session loads of the plugin; frameworks' own modules only with their framework.
LAYERS = (
    "session",
    "diagnosis",
    "reporting",
    "engines",
    "sources",
    "axes",
    "tracing",
    "comparing",
    "capturing",
    "seeding",
    "numerics",
)
BASE = ("base_state", "base_values", "stdlib_state", "stdlib_values", "numpy_state", "numpy_values")


def load_everything() -> None:
    """Import the plugin's modules: a session in this process would import them anew, and so have its types twice."""
    names = ["pytest_repro.hookspecs", *(f"pytest_repro.frameworks.{name}" for name in BASE)]
    for layer in LAYERS:
        package = importlib.import_module(f"pytest_repro.{layer}")
        names += [module.name for module in pkgutil.walk_packages(package.__path__, f"pytest_repro.{layer}.")]
    for name in names:
        importlib.import_module(name)
