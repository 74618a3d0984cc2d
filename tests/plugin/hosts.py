"""What tests of other environments need of the machine."""

from __future__ import annotations

import os
import shutil

import pytest

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
