"""Tell whether every locked package was checked for known vulnerabilities, and what was found.

pip-audit alone does not tell: it exits 0 with "No known vulnerabilities found" when each package was skipped, 1 for a
finding and for a crash alike, and can hang past its own time-out. So its exit status is ignored, its process is killed
at a deadline, and its JSON is reconciled with the packages that should have been audited.

Exit status: 0 every package was audited and none has a known vulnerability; 1 a vulnerability is known; 2 wrong usage;
3 not audited, in whole or in part, and nothing found in what was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;#\\]+)")


@dataclass(slots=True)
class Audit:
    """What an audit can claim: advisories by package, and the reason for each package that was not audited."""

    packages: int
    found: dict[str, list[str]] = field(default_factory=dict)
    unaudited: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """Exit status. No package at all is not a clean set of packages."""
        if self.found:
            return VULNERABLE
        return NOT_AUDITED if self.unaudited or not self.packages else CLEAN


def normalize(name: str) -> str:
    """Return a project's name in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(requirements: Path) -> dict[str, str]:
    """Return name -> version of a file whose every requirement is ``name==version``.

    Raises
    ------
    ValueError
        If a line is anything else: pip-audit would resolve or skip it.
    """
    pins = {}
    for number, line in enumerate(requirements.read_text(encoding="utf-8").splitlines(), start=1):
        if not (text := line.partition("#")[0].strip()):
            continue
        if not (match := PIN.match(text)):
            raise ValueError(f"{requirements}:{number}: not a pinned requirement (name==version): {text!r}")
        pins[normalize(match["name"])] = match["version"]
    return pins


def read_installed() -> dict[str, str]:
    """Return name -> version of what this interpreter can import."""
    return {normalize(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}


def reconcile(report: Any, expected: Mapping[str, str]) -> Audit:
    """Compare pip-audit's JSON with the packages that should have been audited.

    A package counts as audited only if the report holds it, at the expected version, with a list of advisories.
    """
    audit = Audit(len(expected))
    entries = report.get("dependencies") if isinstance(report, dict) else None
    audited = {normalize(e["name"]): e for e in entries or [] if isinstance(e, dict) and isinstance(e.get("name"), str)}
    for name, version in expected.items():
        entry = audited.get(name)
        if entry is None:
            audit.unaudited[name] = "absent from the report"
        elif entry.get("skip_reason"):
            # pip-audit ends the reason with the package's name, which would keep equal reasons apart.
            audit.unaudited[name] = str(entry["skip_reason"]).removesuffix(f": {entry['name']} ({version})")
        elif entry.get("version") != version:
            audit.unaudited[name] = f"version {entry.get('version')} was audited, not {version}"
        elif not isinstance(entry.get("vulns"), list):
            audit.unaudited[name] = "the report holds no list of advisories for it"
    for name, entry in audited.items():  # a finding counts whatever else is amiss with its entry
        if advisories := entry.get("vulns"):
            audit.found[f"{name} {entry.get('version')}"] = [describe(advisory) for advisory in advisories]
    return audit


def describe(advisory: Any) -> str:
    """Say one advisory in a line: its number and the releases that mend it."""
    if not isinstance(advisory, dict):
        return str(advisory)
    fixes = ", ".join(map(str, advisory.get("fix_versions") or [])) or "none"
    return f"{advisory.get('id', 'unnamed')} (mended in: {fixes})"


def run_pip_audit(command: Sequence[str], deadline_s: float) -> tuple[Any, str]:
    """Run pip-audit and return its JSON, or None, with the last line that it said on standard error.

    Its process group is killed at the deadline: its own --timeout bounds one connection, not the whole.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "report.json")
        process = subprocess.Popen(
            [*command, "--format", "json", "--output", str(output)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            _, said = process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            kill(process)
            return None, f"killed after {deadline_s:g} s"
        try:
            report = json.loads(output.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            lines = [line for line in said.splitlines() if line.strip()]
            return None, lines[-1].strip() if lines else f"no report ({error})"
        return report, ""


def kill(process: subprocess.Popen[str]) -> None:
    """End the process and all that it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def render(audit: Audit, why: str) -> str:
    """Say the outcome, in lines; the first word is CLEAN, VULNERABLE or NOT AUDITED."""
    lines = []
    for package, advisories in sorted(audit.found.items()):
        lines += [f"  {package}: {advisory}" for advisory in advisories]
    reasons: dict[str, list[str]] = {}
    for name, reason in audit.unaudited.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items()):
        shown = ", ".join(sorted(names)[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        lines.append(f"  not audited: {reason}: {shown}")
    if why:
        lines.append(f"  pip-audit: {why}")
    audited = audit.packages - len(audit.unaudited)
    word = {CLEAN: "CLEAN", VULNERABLE: "VULNERABLE", NOT_AUDITED: "NOT AUDITED"}[audit.status]
    return "\n".join(
        [f"{word}: {audited} of {audit.packages} packages audited, {len(audit.found)} with advisories", *lines]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Audit a file of pinned requirements, or else what is installed beside this interpreter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requirement", type=Path, help="file of name==version lines; without it, what is installed")
    parser.add_argument("--deadline", type=float, default=180.0, metavar="S", help="seconds pip-audit may take in all")
    args = parser.parse_args(argv)
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--timeout", "15"]
    if args.requirement:
        try:
            expected = read_pins(args.requirement)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        command += ["--requirement", str(args.requirement), "--no-deps", "--disable-pip"]
    else:
        expected = read_installed()
    report, why = run_pip_audit(command, args.deadline)
    audit = reconcile(report, expected)
    print(render(audit, why))
    return audit.status


if __name__ == "__main__":
    sys.exit(main())
