"""Where runs are made: by an interpreter of this machine, or by one behind a command prefix."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from pytest_repro.environments.environment import StartedRun
from pytest_repro.environments.keeper import MARK_VARIABLE
from pytest_repro.environments.processes import ChildExit, ChildProcesses, Echo

#: The folder of this package.
PACKAGE = Path(__file__).parent.parent


class Place(Protocol):
    """Makes runs. The paths of a run's files are those that its interpreter sees."""

    @property
    def is_local(self) -> bool:
        """Whether its interpreter starts with the environment variables of this process."""

    @property
    def plugin_path(self) -> str:
        """Entry of the search path under which it finds this package. Empty where it has the same packages."""

    def held(self) -> AbstractContextManager[None]:
        """Keep it open for a block: within it the paths are those that a run will find."""

    def path_of(self, path: str) -> str:
        """Return the path there of a file or folder here."""

    def translate(self, text: str) -> str:
        """Return a text of a run with the paths of here, and without names of machines and users."""

    def folder_of(self, run: Path) -> str:
        """Return the path there of a run's folder here."""

    def run(self, run: StartedRun, processes: ChildProcesses, *, directory: Path, echo: Echo | None) -> ChildExit:
        """Make a run, wait for it, and end everything that it started."""


class LocalPlace:
    """Makes runs by an interpreter of this machine, which sees the same files.

    Parameters
    ----------
    python : str
        The interpreter's path.
    plugin_path : str
        Folder that holds this package and nothing else. Empty for this process' own interpreter.
    """

    is_local = True

    def __init__(self, python: str = sys.executable, plugin_path: str = "") -> None:
        self._python = python
        self.plugin_path: str = plugin_path

    def held(self) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def path_of(self, path: str) -> str:
        """Return the path itself."""
        return path

    def translate(self, text: str) -> str:
        """Return the text itself."""
        return text

    def folder_of(self, run: Path) -> str:
        """Return the folder itself."""
        return str(run)

    def run(self, run: StartedRun, processes: ChildProcesses, *, directory: Path, echo: Echo | None) -> ChildExit:
        """Make a run, wait for it, and end everything that it started."""
        environment = {name: text for name, text in os.environ.items() if name not in run.variables}
        environment |= {name: text for name, text in run.variables.items() if text is not None}
        environment[MARK_VARIABLE] = run.mark
        return processes.run(
            [*run.prefix, self._python, *run.arguments],
            environment=environment,
            directory=directory,
            timeout_s=run.timeout_s,
            has_begun=(run.folder / run.begun).exists,
            echo=echo,
        )


def link_package(folder: Path) -> str:
    """Return a folder that holds this package and nothing else, for the search path of another interpreter."""
    place = folder / "plugin"
    place.mkdir(exist_ok=True)
    link = place / PACKAGE.name
    if not link.exists():
        try:
            link.symlink_to(PACKAGE, target_is_directory=True)
        except OSError:
            shutil.copytree(PACKAGE, link)
    return str(place)
