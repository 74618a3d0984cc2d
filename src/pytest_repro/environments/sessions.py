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
    is_found = PLUGIN in facts.plugins and not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    named = [] if is_found else ["-p", "pytest_repro.plugin"]
    return [python, "-m", "pytest", *named, *arguments]


def session_variables(folder: Path, paths: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment variables of such a session: this process' own, and where the plugin is.

    Parameters
    ----------
    folder : Path
        For files of the session, which must last as long.
    paths : sequence of str
        Further folders in which it finds modules, such as the project's sources.
    """
    earlier = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([link_package(folder), *paths, *([earlier] if earlier else [])])
    return {**os.environ, "PYTHONPATH": path}
