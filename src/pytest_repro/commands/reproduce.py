"""The subcommand `reproduce`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, INCOMPLETE, SAME, add_command
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.model.text import escape


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands,
        "reproduce",
        _reproduce,
        "redo a recorded result from nothing: its commit, packages, data and seeds; this runs the recorded code, as "
        "pytest does; exit status 0 if it was reproduced, 1 if not, 3 if something that it needs could not be had",
    )
    parser.add_argument(
        "evidence", type=Path, metavar="BUNDLE|RECORD", help="a bundle of evidence, a record, or a folder of records"
    )
    parser.add_argument(
        "--repo", default=".", metavar="PATH|URL", help="a repository that has the recorded commit (default: this one)"
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help="run in this environment of [tool.pytest_repro.environments], not in a new one with the recorded packages",
    )
    parser.add_argument(
        "--test", action="append", default=[], metavar="NODEID", help="redo only this test; may be repeated"
    )
    parser.add_argument("--key", type=Path, help="PEM file of the public key that must have signed the bundle")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done, and do nothing")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="the bundle to write (default: BUNDLE-reproduced, next to it)"
    )


def _reproduce(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.envelope import read_key
    from pytest_repro.reporting.evidence_texts import TEXTS
    from pytest_repro.reproducing.findings import Outcome
    from pytest_repro.reproducing.plan import Request, make_plan, plan_to_json
    from pytest_repro.reproducing.report import describe_plan, describe_reproduction
    from pytest_repro.reproducing.reproduce import Reproducer, check_output
    from pytest_repro.reproducing.subject import read_subject

    evidence = options.evidence
    folder = evidence.parent if evidence.is_file() else evidence
    # `.` has no name.
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    output = options.output or folder.with_name(f"{folder.name}-reproduced")
    key = read_key(options.key) if options.key is not None else None
    subject = read_subject(evidence, TEXTS, key=key, chosen=tuple(options.test))
    check_output(output, evidence)
    plan = make_plan(subject, Request(options.repo, options.environment, output))
    if options.dry_run:
        return SAME, plan_to_json(plan), describe_plan(plan)
    reproducer = Reproducer(plan, TEXTS, announce)
    found = reproducer.reproduce()
    written = output if reproducer.has_written else None
    status = {Outcome.NOT: DIFFERENT, Outcome.INCOMPLETE: INCOMPLETE}.get(found.outcome, SAME)
    document = {**found.to_json(), "bundle": None if written is None else str(written)}
    return status, document, describe_reproduction(found, written)


def announce(text: str) -> None:
    """Say on the other stream what takes long."""
    print(f"pytest-repro: {escape(redact_assignments(text))} ...", file=sys.stderr, flush=True)
