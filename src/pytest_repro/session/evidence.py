"""Write the bundle of ``--repro-evidence`` and the page of ``--repro-html`` when a session ends."""

from __future__ import annotations

import datetime
import getpass
import os
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.capturing.code import describe_code
from pytest_repro.capturing.environment import describe_environment
from pytest_repro.records.evidence import AUDIT_REPORT, LIMITATIONS, make_bundle, write_bundle
from pytest_repro.reporting.audit_text import audit_lines
from pytest_repro.reporting.evidence_summary import summarise_evidence
from pytest_repro.reporting.html import Context, render_report
from pytest_repro.reporting.json_report import make_document, write_whole
from pytest_repro.session.auditing import audit_environment, read_audit_settings

#: Where services that run tests tell the address of the run.
_RUN_VARIABLES = ("CI_JOB_URL", "BUILD_URL", "CIRCLE_BUILD_URL")


def write_evidence(
    config: pytest.Config, directory: Path, tests: Sequence[dict[str, Any]], started: float
) -> list[str]:
    """Write the bundle; return the lines that the terminal is to show of it.

    Raises
    ------
    RecordError
        If it cannot be written.
    """
    facts = _facts(config, directory)
    settings = read_audit_settings(config)
    audit, report = audit_environment(settings) if settings is not None else (None, None)
    circumstances = _circumstances(config, started)
    told = audit_lines(audit) if audit is not None else []
    bundle = str(config.getoption("repro_evidence"))
    context = Context(circumstances, facts, bundle=bundle, audit=told, limitations=LIMITATIONS)
    attached = {"report.html": render_report(make_document(tests), context).encode("utf-8")}
    if report is not None:
        attached[AUDIT_REPORT] = report
    write_bundle(
        directory, make_bundle(tests, facts, circumstances, summarise_evidence, audit=audit, attached=attached)
    )
    return [f"audit of the installed packages: {line}" for line in told[:1]]


def write_html(config: pytest.Config, path: Path, tests: Sequence[dict[str, Any]], started: float) -> None:
    """Write the page of ``--repro-html``, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    context = Context(_circumstances(config, started), _facts(config, path))
    write_whole(path, render_report(make_document(tests), context))


def _facts(config: pytest.Config, written: Path) -> dict[str, Any]:
    root = config.rootpath
    return {"environment": describe_environment(root), "code": describe_code(root, excluded=[written])}


def _circumstances(config: pytest.Config, started: float) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    found = {
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "host": platform.node(),
        "user": _user(),
        "command": shlex.join(["pytest", *map(str, config.invocation_params.args)]),
        "tool": f"pytest-repro {version('pytest-repro')}",
        "pytest": pytest.__version__,
    }
    return {**found, **({"run": url} if (url := _find_run()) else {})}


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's number without a name
        return None


def _find_run() -> str | None:
    if os.environ.get("GITHUB_RUN_ID"):
        server, repository = (os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
        return f"{server}/{repository}/actions/runs/{os.environ['GITHUB_RUN_ID']}"
    return next((os.environ[name] for name in _RUN_VARIABLES if os.environ.get(name)), None)
