"""The fixture through which every test here runs pytest."""

from __future__ import annotations

import sys

import pytest

from tests.plugin.helpers import Sessions, load_everything

#: What a machine that runs these tests may have set, and a session here must not see.
STRAY_VARIABLES = (
    "CI",
    "GITHUB_STEP_SUMMARY",
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "PYTEST_REPRO_JOB",
    "PYTEST_XDIST_TESTRUNUID",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
)

# Before any session in this process: it would leave behind modules that are loaded once more by the next.
load_everything()


@pytest.fixture
def sessions(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """Run pytest on files that the test writes."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in STRAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # A test that writes one file twice in a second, alike in size, would be given the first one's bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return Sessions(pytester)
