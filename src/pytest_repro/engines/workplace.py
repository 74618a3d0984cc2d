"""What the child processes of one pytest session share: a folder, a mark, and a keeper that clears up after a kill."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.engines import keeper
from pytest_repro.engines.fork_client import ForkServerClient
from pytest_repro.engines.keeper import MARK_VARIABLE

#: Of what pytest and xdist tell their own processes, nothing may reach a child.
_LEFT_OUT = ("PYTEST_XDIST_", "PYTEST_CURRENT_TEST", "COV_CORE_")


class Workplace:
    """Made with the first child process of a session, and gone with the session.

    Attributes
    ----------
    folder : Path
        Holds what runs leave.
    mark : str
        Everything that a run starts carries it in its environment.
    fork_server : ForkServerClient or None
        The server of forks, once there is one.
    fork_refusals : int
        How often a test had to do without a fork.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pytest-repro-"))
        self.mark = secrets.token_hex(8)
        self.fork_server: ForkServerClient | None = None
        self.fork_refusals = 0
        # -I -S: nothing of the user's may be imported there, and nothing need be.
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(self.folder), f"{self.mark}."],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def make_directory(self, name: str) -> Path:
        """Make a folder for one run."""
        directory = self.folder / f"{name}-{secrets.token_hex(4)}"
        directory.mkdir()
        return directory

    def close(self) -> None:
        """End what still runs and remove everything; what is left undone here, the keeper does."""
        try:
            if self.fork_server is not None:
                self.fork_server.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            with contextlib.suppress(OSError):
                self._keeper.stdin.close()  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(10)


_KEY = pytest.StashKey[Workplace]()


def workplace_of(config: pytest.Config) -> Workplace:
    """Return the session's workplace, made when first asked for and closed with the session."""
    place = config.stash.get(_KEY, None)
    if place is None:
        place = config.stash[_KEY] = Workplace()
        config.add_cleanup(place.close)
    return place


def arguments_of_pytest(config: pytest.Config) -> list[str]:
    """Return the arguments that the user gave, so that a child sees the same options, plugins and ini file."""
    # A worker of xdist was itself started without them.
    given: Any = getattr(config, "workerinput", {}).get("repro_arguments", config.invocation_params.args)
    arguments = [os.fspath(argument) for argument in given]
    if config.pluginmanager.hasplugin("_cov"):
        arguments.append("--no-cov")
    return arguments


def command_of_pytest(config: pytest.Config) -> list[str]:
    """Return the command that starts pytest as this session was started, with the interpreter's own options."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-m", "pytest", *arguments_of_pytest(config)]


def environment_of_pytest(changes: Mapping[str, str | None], mark: str) -> dict[str, str]:
    """Return the environment of a child: the user's, with the changes that a condition asks for."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(_LEFT_OUT)}
    # Nothing may vary that is not named; a fresh process, though, has another hash seed unless the user pins it.
    environment.setdefault("PYTHONHASHSEED", "0")
    for name, text in changes.items():
        if text is None:
            environment.pop(name, None)
        else:
            environment[name] = text
    environment[MARK_VARIABLE] = mark
    return environment
