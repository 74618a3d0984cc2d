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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.axes.spec import ENVIRONMENT_AXES
from pytest_repro.engines.condition import environment_of_child, prefix_of
from pytest_repro.engines.fork_client import ONE_THREAD, SLEEPING_THREADS, ForkServerClient
from pytest_repro.engines.fork_server import ForkServerSettings
from pytest_repro.engines.fork_servers import ForkServers
from pytest_repro.engines.fresh_fork import read_thread_counts
from pytest_repro.engines.starting import plan_start
from pytest_repro.environments import keeper
from pytest_repro.environments.places import LocalPlace, Place
from pytest_repro.model import JSON, Condition

if TYPE_CHECKING:
    from pytest_repro.environments.opened import Environments

#: Options that other plugins draw once a session.
SETTLED_OPTIONS = ("randomly_seed",)
#: The session's seed, if the collection is seeded from it.
COLLECTION_SEED_KEY = pytest.StashKey[int]()


class Workplace:
    """Created with a session's first child process, and removed with the session.

    The mark is in the environment with which each child starts. `fork_refusals` counts the tests that could not be run
    by forks.
    """

    def __init__(self) -> None:
        self.folder: Path = Path(tempfile.gettempdir(), f"pytest-repro-{secrets.token_hex(8)}")
        self.mark: str = secrets.token_hex(8)
        self.servers: ForkServers | None = None
        self._environments: Environments | None = None
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

    def servers_of(self, config: pytest.Config, find_paths: Callable[[], list[str]]) -> ForkServers:
        """Return the session's fork servers, each of which collects the files found here when it starts."""
        if self.servers is None:
            paths: list[str] = []

            def make(needed: Condition) -> ForkServerClient:
                paths[:] = paths or find_paths()
                return self._make_server(config, paths, needed)

            self.servers = ForkServers(make)
        return self.servers

    def environments_of(self, config: pytest.Config) -> Environments:
        """Return the environments that the session's axes name."""
        if self._environments is None:
            # Few sessions use other environments.
            from pytest_repro.environments.opened import Environments
            from pytest_repro.environments.project_files import list_project_files

            root, file = config.rootpath, config.inipath
            self._environments = Environments(root, file, self.folder, partial(list_project_files, root), self.mark)
        return self._environments

    def place_of(self, config: pytest.Config, condition: Condition) -> Place:
        """Return where the runs of a condition are made."""
        axis, _, name = environment_of_run(condition).partition("=")
        return self.environments_of(config).place_of(axis, name) if axis else LocalPlace()

    def _make_server(self, config: pytest.Config, paths: list[str], needed: Condition) -> ForkServerClient:
        """Make a server whose interpreter is started for a condition."""
        # A mark of its own, by which its forks are found: other servers must outlive it.
        environment = environment_of_child(needed, f"{self.mark}.{secrets.token_hex(4)}.fork_server")
        directory = self.make_directory("fork_server")
        for_libraries = {n: text for n, text in SLEEPING_THREADS.items() if n not in environment} | ONE_THREAD

        def settings(control: int) -> ForkServerSettings:
            has_all_cores = "cpu_count" not in needed.as_dict()
            return ForkServerSettings(
                control=control,
                paths=paths,
                options=settled_options(config),
                environment={name: environment.get(name) for name in for_libraries},
                threads=read_thread_counts(chosen_only=not has_all_cores),
                directory=str(directory),
            )

        def command(settings: Path) -> list[str]:
            start = plan_start(
                config,
                "fork_server_plugin",
                settings,
                arguments=arguments_of_pytest(config),
                condition=needed,
                for_libraries=for_libraries,
            )
            return [*prefix_of(needed), *start.command(directory)]

        return ForkServerClient(command, {**environment, **for_libraries}, config.invocation_params.dir, settings)

    def close(self) -> None:
        """End what still runs and remove everything. The keeper does the rest if this is interrupted."""
        try:
            if self.servers is not None:
                self.servers.close()
            if self._environments is not None:
                self._environments.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            with contextlib.suppress(OSError):
                self._keeper.stdin.close()  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(10)


def environment_of_run(condition: Condition) -> str:
    """Return the environment of a condition, as in ``host=prod``. Empty for that of this session."""
    named = (f"{axis}={value}" for axis, value in condition if axis in ENVIRONMENT_AXES and value is not None)
    return next(named, "")


_KEY = pytest.StashKey[Workplace]()


def workplace_of(config: pytest.Config) -> Workplace:
    """Return the session's workplace, which is made at the first call and closed with the session."""
    place = config.stash.get(_KEY, None)
    if place is None:
        place = config.stash[_KEY] = Workplace()
        config.add_cleanup(place.close)
    return place


def settled_options(config: pytest.Config) -> dict[str, JSON]:
    """Return the options that other plugins drew for this session, and the seed of its collection.

    A child must not draw them again.
    """
    found = ((name, getattr(config.option, name, None)) for name in SETTLED_OPTIONS)
    drawn: dict[str, JSON] = {name: value for name, value in found if isinstance(value, int)}
    seed = config.stash.get(COLLECTION_SEED_KEY, None)
    return drawn if seed is None else {**drawn, "repro_collection_seed": seed}


def arguments_of_pytest(config: pytest.Config) -> list[str]:
    """Return the arguments that the user gave, so that a child sees the same options, plugins and ini file."""
    # xdist starts its workers without the user's arguments.
    given: Any = getattr(config, "workerinput", {}).get("repro_arguments", config.invocation_params.args)
    arguments = [os.fspath(argument) for argument in given]
    if config.pluginmanager.hasplugin("_cov"):
        arguments.append("--no-cov")
    return arguments
