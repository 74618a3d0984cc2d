"""The fixture through which every test here runs pytest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needed_by
from tests.plugin.helpers import Sessions
from tests.plugin.hosts import Project

#: Variables that the machine may have set and that a session under test must not see.
STRAY_VARIABLES = (
    "CI",
    "GITHUB_STEP_SUMMARY",
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "PYTEST_XDIST_TESTRUNUID",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
)


@pytest.fixture(scope="session", autouse=True)
def _shared_digests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the digests of installed packages for all sessions: each has a home of its own, and would read some GB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("digests")))
        yield


@pytest.fixture
def sessions(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Sessions:
    """Run pytest on files that the test writes."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in STRAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # Bytecode is looked up by time and size: a test that writes a file twice in a second would run the first one again.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return Sessions(pytester, needed_by(request.node))


@pytest.fixture
def project(sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that names environments."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    # Compiling what is sent takes longer than all else.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return Project(sessions, temporary)
