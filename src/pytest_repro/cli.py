"""The command ``pytest-repro``: records, diagnoses, reports, bisections, and bundles of evidence."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from pytest_repro.commands import (
    annotate,
    bisect,
    bundles,
    doctor,
    environments,
    history,
    init,
    known,
    merge,
    records,
    reports,
    reproduce,
    show,
)
from pytest_repro.commands.base import FAILED, INTERRUPTED
from pytest_repro.errors import ReproError
from pytest_repro.model.redaction import redact_assignments, redact_texts
from pytest_repro.model.release import own_version
from pytest_repro.model.text import escape, escape_lines

#: Modules that add subcommands, in the order of the help.
SUBJECTS = (
    show,
    records,
    reports,
    annotate,
    known,
    history,
    bundles,
    merge,
    environments,
    reproduce,
    bisect,
    doctor,
    init,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns
    -------
    int
        0 for success, 1 where something differs, 2 for an error, 3 for a bundle that was checked without a key, and
        for a result that could not be redone.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        status, document, text = options.run(options)
        # A report or a record may be older than the rules, or another's, and name its tests and artifacts as it likes.
        # The document first: what it gives to the name of a secret is hidden in the text, too.
        document = redact_texts(document)
        print(json.dumps(document, indent=1) if options.json else escape_lines(redact_assignments(text)))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("pytest-repro: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ReproError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader went away (`| head`): do not flush the rest of the buffer at exit.
            sys.stdout = None
            return FAILED
        message = redact_assignments(str(error))
        if options.json:
            print(json.dumps({"error": message}))
        print(f"pytest-repro: {escape(message)}", file=sys.stderr)
        return FAILED
    return int(status)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-repro",
        description="Inspect, compare, sign and publish records and evidence of reproducible tests.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the versions of pytest-repro, pytest, NumPy and Python"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for subject in SUBJECTS:
        subject.add(commands)
    return parser


class _Version(argparse.Action):
    """Print the versions, which are looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import platform
        from importlib.metadata import version

        others = ", ".join(f"{shown} {version(name)}" for shown, name in (("pytest", "pytest"), ("NumPy", "numpy")))
        print(
            f"pytest-repro {own_version()} ({others}, {platform.python_implementation()} {platform.python_version()})"
        )
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
