"""A bundle and records that a real session wrote, and the commands that check them."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from pytest_repro.cli import main

#: A test with a small record, one with arrays in a file of their own, one that passes within a tolerance.
SOURCE = """
    import itertools
    import numpy as np
    import pytest

    count = itertools.count()

    @pytest.mark.reproducible
    def test_small(repro):
        repro.config({"lr": 0.1})
        return {"loss": 0.5, "name": "a", "w": np.arange(6.0).reshape(2, 3)}

    @pytest.mark.reproducible
    def test_large(repro):
        return {"w": repro.rng.standard_normal(20_000), "loss": 0.25}

    @pytest.mark.reproducible(rtol=1e-3)
    def test_close():
        return 1.0 + next(count) * 1e-6
"""
FAILING = """

    @pytest.mark.reproducible
    def test_differs():
        return float(next(count))
"""


def run_pytest(folder: Path, *arguments: str, source: str = SOURCE, check: bool = True, **variables: str) -> str:
    """Run pytest on a source in a folder, and return its output."""
    (folder / "test_it.py").write_text(textwrap.dedent(source), encoding="utf-8")
    process = subprocess.run(pytest_command(*arguments), cwd=folder, env=environment(**variables), capture_output=True)
    output = (process.stdout + process.stderr).decode("utf-8", "replace")
    assert not check or process.returncode == 0, output
    return output


def pytest_command(*arguments: str) -> list[str]:
    plugins = ("-p", "pytest_repro.plugin", "-p", "no:cacheprovider")
    return [sys.executable, "-m", "pytest", *plugins, "--no-repro-diagnose", "-q", "--repro-seed=1", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which pytest loads no plugin but this one, and no setting of the machine."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST", "GITHUB_", "CI"))}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", **variables}


def command(*arguments: object) -> tuple[int, str]:
    """Run pytest-repro in this process, and return its exit status and its output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = main([str(argument) for argument in arguments])
    return status, output.getvalue()
