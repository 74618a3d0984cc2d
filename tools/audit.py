"""Check every locked package for known vulnerabilities.

pip-audit alone is not enough: it exits with 0 and "No known vulnerabilities found" if every package was skipped, with 1
for a finding and for a crash alike, and can hang past its own timeout. Therefore its exit status is ignored, its
process is killed at a deadline, and its JSON is compared with the packages that should have been audited.

Exit status: 0 if every package was audited and none has a known vulnerability, 1 if a vulnerability is known, 2 for
wrong usage, 3 if packages were not audited and no vulnerability was found in the others.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_repro.capturing.packages import normalise
from pytest_repro.records.audit import judge_report, read_installed
from pytest_repro.records.pip_audit import OPTIONS, run_pip_audit

STATUSES = {"clean": 0, "vulnerable": 1, "partial": 3, "not_audited": 3}
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;#\\]+)")


def read_pins(requirements: Path) -> dict[str, str]:
    """Return a dict from name to version, for a file in which every requirement is ``name==version``.

    Raises
    ------
    ValueError
        If a line is anything else, because pip-audit would resolve or skip it.
    """
    pins = {}
    for number, line in enumerate(requirements.read_text(encoding="utf-8").splitlines(), start=1):
        if not (text := line.partition("#")[0].strip()):
            continue
        if not (match := PIN.match(text)):
            raise ValueError(f"{requirements}:{number}: not a pinned requirement (name==version): {text!r}")
        pins[normalise(match["name"])] = match["version"]
    return pins


def main(argv: Sequence[str] | None = None) -> int:
    """Audit a file of pinned requirements, or the packages installed for this interpreter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requirement", type=Path, help="file of name==version lines (default: installed packages)")
    parser.add_argument("--deadline", type=float, default=180.0, metavar="S", help="time limit for pip-audit [s]")
    args = parser.parse_args(argv)
    command = [sys.executable, "-m", "pip_audit", *OPTIONS]
    if args.requirement:
        try:
            expected = read_pins(args.requirement)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        command += ["--requirement", str(args.requirement.resolve()), "--no-deps", "--disable-pip"]
    else:
        expected = read_installed()
    data, why = run_pip_audit(command, args.deadline)
    audit = judge_report(data, why, expected)
    print("\n".join(audit.describe()))
    return STATUSES[audit.status]


if __name__ == "__main__":
    sys.exit(main())
