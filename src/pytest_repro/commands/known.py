"""The subcommand `known`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommand to the parser."""
    known = add_command(
        commands,
        "known",
        _known,
        "write a file of known findings from reports, for pytest --repro-known=FILE; without --write, only show what "
        "would be written (exit status 1 if that would change anything)",
    )
    known.add_argument("report", type=Path, nargs="+", help="a file written by --repro-json; several are joined")
    known.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="the file to write; if it exists, its reasons and dates are kept, and entries of mended tests are removed",
    )
    known.add_argument("--reason", default="", metavar="TEXT", help="for entries that have no reason")
    known.add_argument("--expires", default="", metavar="DATE", help="for entries without a date, and for expired ones")
    known.add_argument("--keep-mended", action="store_true", help="keep entries of tests that pass, as by chance")


def _known(options: argparse.Namespace) -> tuple[int, Any, str]:
    import datetime

    from pytest_repro.errors import StoreError, UsageError
    from pytest_repro.model.codec import encode
    from pytest_repro.model.known import MAX_REASON, format_known, parse_day, read_known
    from pytest_repro.model.known_changes import update_known
    from pytest_repro.model.redaction import redact_texts
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.json_report import read_report, write_atomically
    from pytest_repro.reporting.known_text import describe_changes

    today = datetime.datetime.now(datetime.UTC).date()
    if options.expires:
        try:
            day = parse_day(options.expires)
        except StoreError as error:
            raise UsageError(f"--expires {error}") from None
        if day < today:
            raise UsageError(f"--expires={options.expires} is in the past")
    if len(options.reason) > MAX_REASON:
        raise UsageError(f"--reason has {len(options.reason):,} characters; {MAX_REASON:,} are enough")
    had_file = options.write is not None and options.write.exists()
    old = read_known(options.write) if had_file else ()
    sessions = [without_secrets(read_report(path)) for path in options.report]
    changes = update_known(
        old,
        sessions,
        reason=redact_texts(options.reason.strip()),
        expires=options.expires,
        today=today.isoformat(),
        keeps_mended=options.keep_mended,
    )
    if options.write is not None:
        write_atomically(options.write, format_known(changes.findings))
    written = str(options.write) if options.write is not None else ""
    text = describe_changes(changes, written=written, had_file=had_file)
    document = {"written": written or None, **encode(changes)}
    would_change = not written and bool(changes.added or changes.changed or changes.mended)
    return (DIFFERENT if would_change else SAME), document, text
