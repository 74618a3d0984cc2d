"""The subcommand `bisect`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.model.text import escape_lines


def add(commands: Any) -> None:
    """Add the subcommand."""
    bisect = add_command(
        commands,
        "bisect",
        _bisect,
        "find the release of a package, or the commit, that changed a test's result; exit status 1 if there is one",
    )
    bisect.add_argument("nodeid", help="the test, as pytest names it: tests/test_train.py::test_fit")
    what = bisect.add_mutually_exclusive_group(required=True)
    what.add_argument("--package", metavar="NAME", help="bisect the releases of this package")
    what.add_argument("--commits", metavar="A..B", help="bisect the commits from A, which is good, to B, which is bad")
    bisect.add_argument("--good", metavar="RELEASE", help="a release with the old result; required without --releases")
    bisect.add_argument("--bad", metavar="RELEASE", help="a later one with the new result; default: the installed one")
    bisect.add_argument("--releases", metavar="LIST", help="try only these, as in 2.2.6,2.3.5,2.4.0, oldest first")
    bisect.add_argument(
        "--with", dest="extra", metavar="REQUIREMENT", action="append", default=[],
        help="also install this in each environment",
    )  # fmt: skip
    bisect.add_argument("--runs", type=int, default=2, metavar="N", help="runs of the test in each (default: 2)")
    bisect.add_argument(
        "--exact", action="store_true", help="compare bit for bit, whatever the test's tolerance allows"
    )
    bisect.add_argument(
        "--no-diagnose",
        dest="diagnose",
        action="store_false",
        help="do not search for the first operation that differs",
    )
    bisect.add_argument("--timeout", type=float, default=3600.0, metavar="S", help="for one session (default: 3600 s)")


def _bisect(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.bisecting.command import bisect
    from pytest_repro.bisecting.describing import describe_bisected
    from pytest_repro.model.codec import encode

    def say(text: str) -> None:
        print(escape_lines(redact_assignments(text)), file=sys.stderr if options.json else sys.stdout, flush=True)

    found = bisect(options, say)
    return (SAME if found.status == "same" else DIFFERENT), encode(found), describe_bisected(found)
