"""A place behind a command that a test writes, with a folder for temporary files in which anything left is seen."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_repro.environments.environment import Environment, StartedRun
from pytest_repro.environments.keeper import find_processes
from pytest_repro.environments.processes import ChildExit, ChildProcesses, Echo
from pytest_repro.environments.remote import RemotePlace


def wait_until(is_true: Callable[[], object], limit_s: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


@dataclass
class Elsewhere:
    """Makes places behind commands, and runs in them."""

    folder: Path
    temporary: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    places: list[RemotePlace] = field(default_factory=list)

    def script(self, source: str, name: str = "prefix") -> str:
        """Write a program of the shell, or of Python where it begins so."""
        path = self.folder / name
        first = "" if source.startswith("#!") else "#!/bin/sh\n"
        path.write_text(first + textwrap.dedent(source), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def python_script(self, source: str, name: str = "fake_python") -> str:
        """Write a program that takes the place of an interpreter."""
        return self.script(f"#!{sys.executable} -IS\n" + textwrap.dedent(source), name)

    def place(
        self,
        *prefix: str,
        python: str = sys.executable,
        sync: bool = False,
        directory: str = "",
        timeout_s: float = 60.0,
        files: Callable[[], list[Path]] = list,
    ) -> RemotePlace:
        """Return a place behind a command."""
        environment = Environment("far", python, prefix or ("env",), sync, directory, timeout_s)
        place = RemotePlace(environment, self.project, files, self.mark)
        self.places.append(place)
        return place

    @property
    def project(self) -> Path:
        """The project's folder."""
        (self.folder / "project").mkdir(exist_ok=True)
        return self.folder / "project"

    def run(
        self,
        place: RemotePlace,
        code: str,
        *,
        variables: dict[str, str | None] | None = None,
        timeout_s: float | None = None,
        processes: ChildProcesses | None = None,
        echo: Echo | None = None,
        files: dict[str, str] | None = None,
    ) -> tuple[ChildExit, Path]:
        """Run Python code there, and return how it ended and the run's folder here."""
        folder = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        folder.mkdir()
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        with place.held():
            source = textwrap.dedent(code).replace("FOLDER", repr(place.folder_of(folder)))
            started = StartedRun(folder, ["-c", source], [], variables or {}, f"{self.mark}.run", timeout_s, "begun")
            return place.run(started, processes or ChildProcesses(), directory=self.project, echo=echo), folder

    def assert_nothing_is_left(self) -> None:
        """Check that neither a process nor a file is left."""
        wait_until(lambda: not find_processes(mark=f"{self.mark}."))
        wait_until(lambda: not list(self.temporary.iterdir()))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """Make places behind commands. In the end nothing of them is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    found = Elsewhere(tmp_path, temporary)
    yield found
    for place in found.places:
        place.close()
    if os.path.isdir("/proc"):  # noqa: PTH112
        found.assert_nothing_is_left()
