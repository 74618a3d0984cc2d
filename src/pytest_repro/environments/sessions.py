"""Sessions of pytest in another interpreter of this machine, with this release of the plugin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pytest_repro.environments.environment import EnvironmentFacts
from pytest_repro.environments.places import link_package

#: Name of the plugin's entry point.
PLUGIN = "repro"


def session_command(python: str, facts: EnvironmentFacts, arguments: Sequence[str]) -> list[str]:
    """Return the command of a session that an interpreter runs, in the environment of :func:`session_variables`."""
    named = [] if PLUGIN in facts.plugins else ["-p", "pytest_repro.plugin"]
    return [python, "-m", "pytest", *named, *arguments]


def session_variables(folder: Path) -> dict[str, str]:
    """Return the environment variables of such a session: this process' own, and the plugin's place.

    `folder` is for files of the session, and must last as long.
    """
    earlier = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([link_package(folder), *([earlier] if earlier else [])])
    return {**os.environ, "PYTHONPATH": path}
