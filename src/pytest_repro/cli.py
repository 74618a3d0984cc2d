"""The command ``pytest-repro``: look at records, compare two, remove those without a test."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_repro.errors import ReproError

#: Of every subcommand: done and nothing differs; something differs (or would be removed); it could not be done.
SAME, DIFFERENT, FAILED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns
    -------
    int
        0 for success, 1 where records differ, 2 where something could not be done.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        status, document, text = options.run(options)
        print(json.dumps(document, indent=1, ensure_ascii=True) if options.json else text)
        sys.stdout.flush()
    except (ReproError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader went away (`| head`); what stands in the buffer must not be tried again at exit.
            sys.stdout = None
            return FAILED
        if options.json:
            print(json.dumps({"error": str(error)}))
        print(f"pytest-repro: {error}", file=sys.stderr)
        return FAILED
    return int(status)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pytest-repro", description="Look at records of reproducible tests.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = _add(commands, "show", _show, "tell what a record holds, and check that it is whole")
    show.add_argument("record", type=Path)
    diff = _add(
        commands, "diff", _diff, "compare two records: results, then circumstances; ends with 1 if results differ"
    )
    diff.add_argument("expected", type=Path)
    diff.add_argument("actual", type=Path)
    prune = _add(commands, "prune", _prune, "list records and payloads that no test has; ends with 1 if there are any")
    prune.add_argument("directory", type=Path)
    prune.add_argument("--delete", action="store_true", help="remove them; without it nothing is changed")
    prune.add_argument(
        "paths", nargs="*", metavar="TESTS", help="where pytest collects; by default as it does by itself"
    )
    return parser


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(run=run)
    return parser


def _show(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.looking import is_here, record_to_json
    from pytest_repro.reporting.record_pages import describe_record

    stored = read_record(options.record)
    document = {**record_to_json(stored.record), "arrays_are_here": is_here(stored)}
    return SAME, document, describe_record(document)


def _diff(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.looking import diff_records
    from pytest_repro.reporting.record_pages import describe_diff, diff_to_json

    found = diff_records(read_record(options.actual), read_record(options.expected))
    return (SAME if found.is_same else DIFFERENT), diff_to_json(found), describe_diff(found)


def _prune(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.pruning import find_orphans, remove
    from pytest_repro.session.collecting import collect_nodeids

    orphans = find_orphans(options.directory, collect_nodeids(options.paths))
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


if __name__ == "__main__":
    sys.exit(main())
