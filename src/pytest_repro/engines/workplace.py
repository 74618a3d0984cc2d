"""The shared means of one session's child processes: a folder, a mark, and a keeper that clears up after a kill."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.engines import keeper
from pytest_repro.engines.condition import environment_of_child
from pytest_repro.engines.fork_client import ONE_THREAD, ForkServerClient
from pytest_repro.engines.fork_server import ForkServerSettings
from pytest_repro.engines.fresh_fork import read_thread_counts
from pytest_repro.engines.starting import plan_start
from pytest_repro.model import JSON, Condition

#: Options that other plugins draw once a session.
SETTLED_OPTIONS = ("randomly_seed",)


class Workplace:
    """Created with a session's first child process, and removed with the session.

    The mark is in the environment with which each child starts. `fork_refusals` counts the tests that could not be run
    by forks.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.gettempdir(), f"pytest-repro-{secrets.token_hex(8)}")
        self.mark = secrets.token_hex(8)
        self.fork_server: ForkServerClient | None = None
        self.fork_refusals = 0
        # -I -S: none of the user's code may be imported there, and none is needed.
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(self.folder), f"{self.mark}."],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # After the keeper has started, so that a session that is killed at any time leaves no folder.
        self.folder.mkdir(mode=0o700)

    def make_directory(self, name: str) -> Path:
        """Make a folder for one run."""
        directory = self.folder / f"{name}-{secrets.token_hex(4)}"
        directory.mkdir()
        return directory

    def start_fork_server(self, config: pytest.Config, find_paths: Callable[[], list[str]]) -> ForkServerClient:
        """Return the session's fork server, which starts with its first run and collects the files found here."""
        if self.fork_server is not None:
            return self.fork_server
        paths = find_paths()
        environment = environment_of_child(Condition(), f"{self.mark}.fork_server")
        directory = self.make_directory("fork_server")

        def settings(control: int) -> ForkServerSettings:
            return ForkServerSettings(
                control=control,
                paths=paths,
                options=settled_options(config),
                environment={name: environment.get(name) for name in ONE_THREAD},
                threads=read_thread_counts(),
                directory=str(directory),
            )

        def command(settings: Path) -> list[str]:
            start = plan_start(
                config,
                "fork_server_plugin",
                settings,
                arguments=arguments_of_pytest(config),
                condition=Condition(),
                for_libraries=ONE_THREAD,
            )
            return start.command(directory)

        self.fork_server = ForkServerClient(
            command, {**environment, **ONE_THREAD}, config.invocation_params.dir, settings
        )
        return self.fork_server

    def close(self) -> None:
        """End what still runs and remove everything. The keeper does the rest if this is interrupted."""
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
    """Return the session's workplace, which is made at the first call and closed with the session."""
    place = config.stash.get(_KEY, None)
    if place is None:
        place = config.stash[_KEY] = Workplace()
        config.add_cleanup(place.close)
    return place


def settled_options(config: pytest.Config) -> dict[str, JSON]:
    """Return the options that other plugins drew for this session, so that a child does not draw them again."""
    return {name: v for name in SETTLED_OPTIONS if isinstance(v := getattr(config.option, name, None), int)}


def arguments_of_pytest(config: pytest.Config) -> list[str]:
    """Return the arguments that the user gave, so that a child sees the same options, plugins and ini file."""
    # xdist starts its workers without the user's arguments.
    given: Any = getattr(config, "workerinput", {}).get("repro_arguments", config.invocation_params.args)
    arguments = [os.fspath(argument) for argument in given]
    if config.pluginmanager.hasplugin("_cov"):
        arguments.append("--no-cov")
    return arguments
