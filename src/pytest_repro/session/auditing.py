"""The audit of ``--repro-audit``: its options, and the installed packages compared with pip-audit's report."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.errors import StoreError, UsageError
from pytest_repro.model.reading import read_file
from pytest_repro.session.ini_values import read_key

if TYPE_CHECKING:
    from pytest_repro.records.audit import Audit

DEFAULT_TIMEOUT_S = 120.0
MAX_TIMEOUT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The time limit of pip-audit, or the existing report that is used instead of running it."""

    timeout_s: float
    report: Path | None = None
    shown: str = ""


def read_audit_settings(config: pytest.Config) -> AuditSettings | None:
    """Read ``--repro-audit``, ``--repro-audit-timeout`` and ``--repro-audit-report``, or None without an audit."""
    flag, report = config.getoption("repro_audit"), config.getoption("repro_audit_report")
    timeout_s = _read_timeout(config)
    if flag and report is not None:
        raise UsageError("--repro-audit runs pip-audit, --repro-audit-report uses its report: give one of them")
    option = "--repro-audit" if flag else "--repro-audit-report" if report is not None else ""
    if config.getoption("repro_evidence") is None:
        if option:
            raise UsageError(f"{option} goes into the bundle of evidence: add --repro-evidence=DIR")
        return None
    if report is None:
        return AuditSettings(timeout_s) if flag or read_key(config, "repro_audit") else None
    path = config.invocation_params.dir / report
    if not path.is_file() and not hasattr(config, "workerinput"):
        raise UsageError(f"--repro-audit-report: the file {report!r} does not exist")
    return AuditSettings(timeout_s, path, report)


def _read_timeout(config: pytest.Config) -> float:
    value = config.getoption("repro_audit_timeout") or read_key(config, "repro_audit_timeout") or DEFAULT_TIMEOUT_S
    try:
        timeout_s = float(value)
    except ValueError:
        timeout_s = float("nan")
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise UsageError(f"--repro-audit-timeout must be above 0 and at most {MAX_TIMEOUT_S:g} seconds, got {value!r}")
    return timeout_s


def audit_environment(settings: AuditSettings) -> tuple[Audit, bytes | None]:
    """Audit the installed packages.

    Returns
    -------
    audit : Audit
    report : bytes or None
        pip-audit's report, or None if its output is not one.
    """
    from pytest_repro.capturing.packages import find_local
    from pytest_repro.records.audit import judge_report, read_installed

    source, data, why = read_imported(settings) if settings.report is not None else _run(settings)
    audit = judge_report(data, why, read_installed(), find_local())
    audit.source = source
    return audit, None if audit.why else data


def _run(settings: AuditSettings) -> tuple[dict[str, Any], bytes | None, str]:
    from pytest_repro.records.pip_audit import find_pip_audit, run_pip_audit

    command = find_pip_audit()
    source: dict[str, Any] = {"kind": "run", "tool": None, "command": shlex.join(["pip-audit", *command[4:]])}
    if not command:
        return {**source, "command": None}, None, "it is not installed: pip install pytest-repro[audit]"
    try:
        source["tool"] = f"pip-audit {version('pip-audit')}"
    except PackageNotFoundError:  # a command on the path, of another environment
        source["command"] = shlex.join(["pip-audit", *command[1:]])
    return source, *run_pip_audit(command, settings.timeout_s)


def read_imported(settings: AuditSettings) -> tuple[dict[str, Any], bytes | None, str]:
    """Return where an existing report came from, its content, and why there is none."""
    from pytest_repro.records.audit import MAX_REPORT_BYTES

    assert settings.report is not None
    source: dict[str, Any] = {"kind": "report", "file": settings.report.name, "sha256": None}
    try:
        data = read_file(settings.report, max_bytes=MAX_REPORT_BYTES, follows_links=True)
    except OSError as error:
        return source, None, f"the report cannot be read: {error.strerror or type(error).__name__}"
    except StoreError as error:
        return source, None, f"the report cannot be read: {error}"
    return {**source, "sha256": hashlib.sha256(data).hexdigest()}, data, ""
