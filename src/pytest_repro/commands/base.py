"""What every subcommand needs: exit statuses, and its parser."""

from __future__ import annotations

import argparse
from typing import Any

#: Exit status of every subcommand: nothing differs; something differs (or would be removed); an error.
SAME, DIFFERENT, FAILED = 0, 1, 2
#: Exit status of `verify` without a key: no file was changed, and nothing shows who wrote them.
NOT_AUTHENTICATED = 3
#: Exit status after Ctrl-C, as a shell has it.
INTERRUPTED = 130
#: Exit status of `reproduce` where something could not be had, so that the recorded test was not repeated.
INCOMPLETE = 3


def add_command(commands: Any, name: str, run: Any, text: str, *, prints_json: bool = True) -> argparse.ArgumentParser:
    """Add one subcommand, whose function returns its exit status, its JSON document and its text."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    if prints_json:
        parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(run=run, json=False)
    return parser
