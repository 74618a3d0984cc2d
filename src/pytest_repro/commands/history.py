"""The subcommand `history`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command

#: Reports that are read at once.
MAX_REPORTS = 5000


def add(commands: Any) -> None:
    """Add the subcommand to the parser."""
    history = add_command(
        commands,
        "history",
        _history,
        "show since when tests diverge, and at which commit, from several reports; exit status 1 if any diverges now",
    )
    history.add_argument("report", type=Path, nargs="+", help="a file written by --repro-json")
    history.add_argument("--html", type=Path, metavar="FILE", help="also write a page without other files")
    history.add_argument("-v", "--verbose", action="store_true", help="show all tests that diverge or did")


def _history(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.errors import UsageError
    from pytest_repro.model.codec import encode
    from pytest_repro.model.history import make_history
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.history_text import describe_history
    from pytest_repro.reporting.json_report import read_report, write_atomically

    if len(options.report) > MAX_REPORTS:
        raise UsageError(f"{len(options.report):,} reports were given; at most {MAX_REPORTS:,} are read")
    paths = [*dict.fromkeys(options.report)]
    names = _name(paths)
    history = make_history([(names[path], without_secrets(read_report(path))) for path in paths])
    if options.html is not None:
        from pytest_repro.reporting.html.history import render_history

        write_atomically(options.html, render_history(history))
    text = describe_history(history, shows_all=options.verbose)
    if options.html is not None:
        text += f"\nwritten to {options.html}"
    return (DIFFERENT if history.diverging else SAME), encode(history), text


def _name(paths: list[Path]) -> dict[Path, str]:
    """Return the shortest name of each file that tells it from the others."""
    names = [path.name for path in paths]
    return {path: path.name if names.count(path.name) == 1 else str(path) for path in paths}
