"""The release of this package, also for a copy without metadata."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest_repro
from pytest_repro.model.release import own_version


def test_an_installed_package_knows_its_release() -> None:
    assert own_version() == pytest_repro.__version__ != "unknown"


def test_a_copy_without_metadata_has_a_release_too() -> None:
    """As a bisection brings the plugin to an environment that lacks it."""
    program = "from pytest_repro.model.release import own_version; print(own_version())"
    source = str(Path(str(files("pytest_repro"))).parent)
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({source!r}); {program}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("unknown", own_version()), done.stderr
