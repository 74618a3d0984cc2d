"""Subcommands for records: `diff`, `prune`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command
from pytest_repro.model.redaction import redact_name


def add(commands: Any) -> None:
    """Add the subcommands to the parser."""
    diff = add_command(
        commands, "diff", _diff, "compare two records: results, then circumstances; exit status 1 if results differ"
    )
    diff.add_argument("expected", type=Path)
    diff.add_argument("actual", type=Path)
    prune = add_command(
        commands, "prune", _prune, "list records and payloads that belong to no test; exit status 1 if there are any"
    )
    prune.add_argument("directory", type=Path)
    prune.add_argument("--delete", action="store_true", help="remove them; without it nothing is changed")
    prune.add_argument(
        "paths", nargs="*", metavar="TESTS", help="files or directories that pytest collects; default: pytest's own"
    )


def _diff(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.inspecting import diff_records
    from pytest_repro.reporting.record_text import describe_diff, diff_to_json

    found = diff_records(read_record(options.actual), read_record(options.expected))
    return (SAME if found.is_same else DIFFERENT), diff_to_json(found), describe_diff(found)


def _prune(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.pruning import find_orphans, remove
    from pytest_repro.session.collecting import collect_nodeids

    orphans = find_orphans(options.directory, {*map(redact_name, collect_nodeids(options.paths))})
    if options.delete:
        remove(orphans)
    word = "removed" if options.delete else "without a test"
    lines = [f"{word}: {path.name} ({reason})" for path, reason in orphans]
    if orphans and not options.delete:
        lines.append("nothing was changed; --delete removes them")
    document = {
        "removed" if options.delete else "orphans": [{"path": path.name, "reason": reason} for path, reason in orphans]
    }
    status = DIFFERENT if orphans and not options.delete else SAME
    return status, document, "\n".join(lines) or "every record has a test"
