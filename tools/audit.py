"""Tell whether every locked package was checked for known vulnerabilities, and what was found.

pip-audit alone does not tell: it exits 0 with "No known vulnerabilities found" when each package was skipped, 1 for a
finding and for a crash alike, and can hang past its own time-out. So its exit status is ignored, its process is killed
at a deadline, and its JSON is reconciled with the packages that should have been audited.

Exit status: 0 every package was audited and none has a known vulnerability; 1 a vulnerability is known; 2 wrong usage;
3 not audited, in whole or in part, and nothing found in what was.
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
        pins[normalise(match["name"])] = match["version"]
    return pins


def main(argv: Sequence[str] | None = None) -> int:
    """Audit a file of pinned requirements, or else what is installed beside this interpreter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requirement", type=Path, help="file of name==version lines; without it, what is installed")
    parser.add_argument("--deadline", type=float, default=180.0, metavar="S", help="seconds pip-audit may take in all")
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
