"""Run pip-audit in a way that survives its hanging, flooding and crashing.

Its exit status is 1 for a finding and for a crash alike, so it is ignored. Its own ``--timeout`` limits one connection
and not the whole, so its process group is killed at a deadline. Its output is read and discarded.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.environments.keeper import MARK_VARIABLE
from pytest_repro.environments.processes import OutputTail, end_group, start_in_group
from pytest_repro.errors import StoreError
from pytest_repro.model.reading import read_file
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.records.audit import MAX_REPORT_BYTES

OPTIONS = ("--progress-spinner", "off", "--timeout", "15", "--desc", "off")
#: Interval of the checks on the running process [s].
_POLL_S = 0.1


def find_pip_audit() -> list[str]:
    """Return the command of this interpreter, else the one on the path, or an empty list.

    ``-P`` keeps the directory under test off the path, where a file could have the name of one of pip-audit's modules.
    """
    if importlib.util.find_spec("pip_audit") is not None:
        return [sys.executable, "-P", "-m", "pip_audit", *OPTIONS]
    path = shutil.which("pip-audit")
    return [path, *OPTIONS] if path else []


def run_pip_audit(command: Sequence[str], deadline_s: float) -> tuple[bytes | None, str]:
    """Run pip-audit to its end or its deadline.

    Returns
    -------
    report : bytes or None
        Its report, not trusted; None if it wrote none.
    why : str
        Why the report is missing.
    """
    mark = secrets.token_hex(8)
    environment = {**os.environ, MARK_VARIABLE: mark, "PIPAPI_PYTHON_LOCATION": sys.executable}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        try:
            process = start_in_group([*command, "--format", "json", "--output", str(report)], environment, Path(folder))
        except OSError as error:
            return None, f"it could not be started: {error.strerror or error}"
        assert process.stdout is not None
        tail = OutputTail(process.stdout.fileno())
        try:
            why = _wait(process, report, deadline_s)
        finally:
            end_group(process, mark)
            tail.close()
            process.stdout.close()
        if why:
            return None, why
        try:
            return read_file(report, max_bytes=MAX_REPORT_BYTES), ""
        except FileNotFoundError:
            return None, _last_line(tail.text()) or "it wrote no report and no message"
        except (OSError, StoreError) as error:
            return None, f"its report cannot be read: {error}"


def _wait(process: subprocess.Popen[bytes], report: Path, deadline_s: float) -> str:
    """Wait for the end, and return why the wait was given up, or an empty text if it was not."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            process.wait(max(min(_POLL_S, deadline - time.monotonic()), 0))
            return ""
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                return f"killed after {deadline_s:g} s"
        if report.exists() and report.stat().st_size > MAX_REPORT_BYTES:
            return f"killed: it wrote more than {MAX_REPORT_BYTES:,} bytes"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return shorten(escape(redact_assignments(lines[-1])), 200) if lines else ""
