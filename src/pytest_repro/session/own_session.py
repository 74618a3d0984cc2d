"""Run a function in a session of pytest of its own, with the axes and the diagnosis that need other processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_repro.axes import Axis
from pytest_repro.environments.processes import ChildExit, ChildProcesses
from pytest_repro.environments.sessions import session_variables
from pytest_repro.errors import ChildError, StoreError
from pytest_repro.model import Tolerance, TolerancePolicy, Verdict
from pytest_repro.model.redaction import redact
from pytest_repro.model.reported import ReportedTest
from pytest_repro.model.text import escape_lines
from pytest_repro.reporting.json_report import read_report
from pytest_repro.session.sent_source import SentSource
from pytest_repro.session.written_values import NotSendableError, expression_of

#: Characters of a child's output that an error shows.
MAX_OUTPUT = 4000
_FILE = "test_examined.py"
#: Writes what pytest would print of a failure, which the report does not hold.
_CONFTEST = """\
import pathlib

def _write(report):
    if report.failed:
        with pathlib.Path(__file__).with_name("message.txt").open("a", encoding="utf-8", errors="replace") as file:
            file.write(report.longreprtext + "\\n")

pytest_runtest_logreport = pytest_collectreport = _write
"""
_HEAD = """\
from pytest import mark as _mark
import pytest_repro as _pytest_repro
"""
_ARRAYS = """\
import numpy as _numpy, pathlib as _pathlib
"""
#: The last lines of a failure repeat a command and name a file that no longer exist.
_PLACE = re.compile(r"(?:\.{3}[/\\])?test_examined\.py:\d+(?: in |: )")
_FILE_OR_TEST = re.compile(r"test_examined(?:\.py:\d+)?\b(?!\.py|::)")
_NEXT_LINE = re.compile(r"^  next    pytest .*\n?(?:^          .*\n?)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OwnSession:
    """The result of a function that ran in a session of its own.

    Attributes
    ----------
    test : ReportedTest
    message : str
        The text of the failure. Empty if it passed.
    """

    test: ReportedTest
    message: str


def run_sent(
    source: SentSource,
    name: str,
    body: str,
    arguments: Mapping[str, Any],
    *,
    parameters: str,
    diagnose: bool,
    isolate: bool = False,
) -> OwnSession:
    """Run a test in a session of its own, from source alone, and return its result.

    Parameters
    ----------
    source : SentSource
        Definitions that the test needs.
    name : str
        What reports call it.
    body : str
        The indented statements of the test function.
    arguments : mapping
        The marker's arguments.
    parameters : str
        Of the test function.
    diagnose : bool
        Whether to search for the cause of a divergence.
    isolate : bool
        Whether each run has a process of its own.

    Raises
    ------
    NotSendableError
        If an argument cannot be written as source.
    ChildError
        If the session has no result, or the function raised an error.
    """
    folder = Path(tempfile.mkdtemp(prefix="pytest-repro-"))
    try:
        _write_project(folder, source, body, arguments, parameters)
        ended = _run(folder, diagnose=diagnose, isolate=isolate)
        return _read(folder, ended, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_project(folder: Path, source: SentSource, body: str, arguments: Mapping[str, Any], parameters: str) -> None:
    marker = ", ".join(f"{key}={_written(value, key)}" for key, value in arguments.items())
    loaded = [f'{key} = _numpy.load(_pathlib.Path(__file__).with_name("{key}.npy"))' for key in source.arrays]
    if source.arrays:
        import numpy as np

        for key, array in source.arrays.items():
            np.save(folder / f"{key}.npy", array, allow_pickle=False)
    future = "from __future__ import annotations\n"
    text = source.text.removeprefix(future)
    head = future if text != source.text else ""
    arrays = "\n".join([_ARRAYS, *loaded, ""]) if loaded else ""
    test = f"@_mark.reproducible({marker})\ndef test_examined({parameters}):\n{body}\n"
    (folder / _FILE).write_text(f"{head}{_HEAD}{arrays}{text}\n\n{test}", encoding="utf-8")
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")


def _run(folder: Path, *, diagnose: bool, isolate: bool) -> ChildExit:
    variables = session_variables(folder, _search_path())
    # Only the plugin, as in the process that asks: another plugin might run the test in its own way.
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_CURRENT_TEST"):
        variables.pop(name, None)
    options = ["-p", "pytest_repro.plugin", "-p", "no:cacheprovider", "--tb=short", "--color=no", "--no-header"]
    options += [f"--rootdir={folder}", "-c", str(folder / "pytest.ini"), f"--repro-json={folder / 'report.json'}"]
    options += ["--repro-diagnose" if diagnose else "--no-repro-diagnose", str(folder / _FILE)]
    options += ["--repro-isolate"] * isolate
    return ChildProcesses().run(
        [sys.executable, "-m", "pytest", *options], environment=variables, directory=Path.cwd(), timeout_s=None
    )


def _search_path() -> list[str]:
    """Return the folders in which this process finds modules, beyond those that each of its interpreters has."""
    own = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    return [entry or os.getcwd() for entry in sys.path if not entry.startswith(own)]  # noqa: PTH109 - text


def _read(folder: Path, ended: ChildExit, name: str) -> OwnSession:
    file = folder / "message.txt"
    message = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    message = _without_file(_NEXT_LINE.sub("", message), folder, name).rstrip()
    shown = escape_lines(redact((message or ended.output)[-MAX_OUTPUT:]))
    try:
        report = folder / "report.json"
        # The file of the test is gone when somebody reads its name.
        report.write_text(_without_file(report.read_text("utf-8"), folder, json.dumps(name)[1:-1]), "utf-8")
        session = read_report(report)
    except (OSError, StoreError):
        session = None
    if session is None or not session.is_finished or len(session.tests) != 1:
        raise ChildError(f"{name} could not be run in processes of its own: the session {ended.describe()}\n{shown}")
    (test,) = session.tests
    if test.verdict is Verdict.ERROR:
        raise ChildError(f"{name} raised an error in a process of its own:\n{shown}")
    if not message and not test.verdict:
        message = test.reason or f"{len(test.runs)} runs: {test.verdict}"
    return OwnSession(replace(test, nodeid=name, repeat_command=""), message)


def _without_file(text: str, folder: Path, name: str) -> str:
    """Replace the file and the function that only this session had."""
    return _FILE_OR_TEST.sub(lambda _: name, _PLACE.sub("", text.replace(f"{folder}{os.sep}", "")))


def _written(value: Any, where: str) -> str:
    """Return an argument of the marker as source."""
    if isinstance(value, TolerancePolicy):
        rules = ", ".join(f"({pattern!r}, {_written(bound, where)})" for pattern, bound in value.rules)
        return f"__import__('pytest_repro.model').model.TolerancePolicy(({rules}{',' if rules else ''}), {value.auto})"
    if isinstance(value, Tolerance):
        if value.reference is not None:
            raise NotSendableError(f"{where}: a tolerance with a reference cannot be sent to another process")
        names = ("max_ulp", "rtol", "atol", "norm", "norm_cap", "rows", "rule", "factor", "by_dtype")
        return (
            f"_pytest_repro.Tolerance({', '.join(f'{name}={_written(getattr(value, name), where)}' for name in names)})"
        )
    if isinstance(value, Axis):
        return f"_pytest_repro.Axis({_written(value.values, where)}, tolerance={_written(value.tolerance, where)})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_written(key, where)}: {_written(each, where)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        inner = "".join(f"{_written(each, where)}, " for each in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if callable(value) and getattr(value, "__name__", "").startswith("assert_"):
        return f"_pytest_repro.{value.__name__}"
    return expression_of(value, where)
