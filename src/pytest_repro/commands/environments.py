"""The subcommand `environments`."""

from __future__ import annotations

import argparse
from typing import Any

from pytest_repro.commands.base import SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommands to the parser."""
    made = add_command(
        commands, "environments", _environments, "list the environments made for the axis python, or clear them"
    )
    made.add_argument(
        "--clear", nargs="*", metavar="NAME", help="remove those named, by the first column; without a name, all"
    )


def _environments(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.environments.made import EnvironmentStore
    from pytest_repro.model.codec import encode
    from pytest_repro.reporting.environment_text import describe_made

    store = EnvironmentStore()
    if options.clear is not None:
        removed = store.remove(options.clear)
        return SAME, {"removed": removed}, f"removed: {', '.join(removed)}" if removed else "there are none"
    made = [(each, store.size_of(each.digest)) for each in store.list_made()]
    document = [{**encode(each), "bytes": size} for each, size in made]
    return SAME, {"folder": str(store.folder), "environments": document}, describe_made(str(store.folder), made)
