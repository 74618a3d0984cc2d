"""The subcommand `init`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommand."""
    init = add_command(
        commands,
        "init",
        _init,
        "show settings, a first test and CI files for a project; --write writes them, and overwrites no file; exit "
        "status 1 if one was not written",
    )
    init.add_argument("path", type=Path, nargs="?", default=Path(), metavar="PATH", help="default: this folder")
    init.add_argument("--write", action="store_true", help="write the files; without it nothing is changed")
    init.add_argument(
        "--ci",
        choices=("github", "gitlab", "both", "none"),
        default="",
        help="which CI files (default: those of the CI that the project uses, or both)",
    )


def _init(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.adopting.init import make_plan, write_plan
    from pytest_repro.adopting.init_text import describe_plan, plan_to_json

    plan = make_plan(options.path, options.ci)
    written = write_plan(plan) if options.write else None
    status = DIFFERENT if written is not None and any(each.refused for each in plan.files) else SAME
    return status, plan_to_json(plan, written), describe_plan(plan, written)
