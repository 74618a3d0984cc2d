"""Count the tests that were executed, from JUnit files, and fail if an environment executed none.

pytest exits with 5 if it collects no test, but with 0 if every test was skipped, which proves nothing.
"""

from __future__ import annotations

import argparse
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

COUNTS = ("tests", "failures", "errors", "skipped")


def count(report: Path) -> tuple[int, int, int]:
    """Return the number of passed, failed (with errors), and skipped (with xfailed) tests of a JUnit file."""
    total = dict.fromkeys(COUNTS, 0)
    for suite in ET.parse(report).getroot().iter("testsuite"):
        for name in COUNTS:
            total[name] += int(suite.get(name, "0"))
    failed = total["failures"] + total["errors"]
    return total["tests"] - failed - total["skipped"], failed, total["skipped"]


def main(argv: Iterable[str] | None = None) -> int:
    """Print a line for each environment and the sums, and return 1 if one has no report or executed no test."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder with NAME.xml of each environment")
    parser.add_argument("environment", nargs="+")
    args = parser.parse_args(None if argv is None else list(argv))
    sums = [0, 0, 0]
    silent = []
    for name in args.environment:
        report: Path = args.folder / f"{name}.xml"
        counts = count(report) if report.is_file() else (0, 0, 0)
        print(f"{name}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
        if not counts[0] + counts[1]:
            silent.append(name)
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
    print(f"{sums[0]} passed, {sums[1]} failed, {sums[2]} skipped")
    if silent:
        print(f"no test ran in: {', '.join(silent)}", file=sys.stderr)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
