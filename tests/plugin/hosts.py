"""What tests of other environments need: programs, and a project that names environments."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.plugin.helpers import Session, Sessions

#: Set by `tox -e hosts`: the tests that make containers and clusters are run.
WANTS_HOSTS = bool(os.environ.get("REPRO_HOSTS"))


def find_program(name: str, package: str) -> str:
    """Return a program's path. Without it the test is skipped, or fails where REPRO_REQUIRE_HOSTS=1."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        miss(f"{name} is not installed: apt-get install {package}")
    assert found is not None
    return found


def miss(reason: str) -> None:
    """Skip the test, or fail it where REPRO_REQUIRE_HOSTS=1."""
    if os.environ.get("REPRO_REQUIRE_HOSTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Project:
    """A project that names environments, and a folder for temporary files in which anything left is seen."""

    def __init__(self, sessions: Sessions, temporary: Path) -> None:
        self.sessions, self.temporary = sessions, temporary
        self.folder = sessions.folder
        #: Puts a package on the search path there, so that the environment is another one.
        self.other = f"env PYTHONPATH={self.folder / 'other'}"
        info = self.folder / "other" / "something-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: something\nVersion: 1.0\n")

    def name(self, **environments: str | dict[str, object]) -> None:
        """Write the named environments. Each has the interpreter of this session."""
        lines = ["[pytest]"]
        lines.append("[pytest_repro.environments]")
        for name, given in environments.items():
            fields = {"command": given} if isinstance(given, str) else given
            for key, value in {"python": sys.executable, **fields}.items():
                lines.append(f"{name}.{key} = {value}")
        (self.folder / "pytest.ini").write_text("\n".join(lines), encoding="utf-8")

    def script(self, source: str, name: str = "prefix") -> str:
        """Write a program of the shell."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{source}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def run(self, source: str, names: str, *options: str) -> Session:
        """Run the tests across environments, after which nothing of them is left."""
        session = self.sessions.run(source, f"--repro-across=host:{names}", *options)
        assert list(self.temporary.iterdir()) == []
        return session
