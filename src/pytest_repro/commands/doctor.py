"""The subcommand `doctor`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommand."""
    doctor = add_command(
        commands,
        "doctor",
        _doctor,
        "tell what can be varied here, and what in a project's source and configuration changes results or stands in "
        "the way; imports and runs nothing of it; exit status 1 if there is something to mend",
    )
    doctor.add_argument("path", type=Path, nargs="?", default=Path(), metavar="PATH", help="default: this folder")


def _doctor(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.adopting.doctor import checkup_to_json, examine_project
    from pytest_repro.adopting.doctor_text import describe_checkup

    found = examine_project(options.path)
    return (SAME if found.is_well else DIFFERENT), checkup_to_json(found), describe_checkup(found)
