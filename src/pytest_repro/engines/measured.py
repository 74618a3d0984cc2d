"""Coverage of the lines that children execute, where pytest-cov measures the session."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.model import JSON

#: Beginning of the data files in a run's folder.
DATA_NAME = "coverage-of-run"


def read_coverage_settings(config: pytest.Config) -> dict[str, JSON] | None:
    """Return how pytest-cov measures this session, or None if it does not."""
    controller = _find_controller(config)
    if controller is None:
        return None
    return {
        "source": None if controller.cov_source is None else [str(source) for source in controller.cov_source],
        "branch": controller.cov_branch,
        # Unchanged: with its default name, coverage reads pyproject.toml and setup.cfg as well.
        "config_file": controller.cov_config,
        "per_test": config.getoption("cov_context", None) == "test",
    }


def _find_controller(config: pytest.Config) -> Any:
    controller = getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    return controller if getattr(controller, "cov", None) is not None else None


class Measurement:
    """Measures a child from now on.

    Parameters
    ----------
    settings : dict
        Of :func:`read_coverage_settings`.
    is_fork : bool
        A fork leaves an inherited measurement to the server. In a fresh interpreter that coverage measures already, by
        its own support of subprocesses, no other is needed.
    """

    def __init__(self, settings: dict[str, Any], directory: Path, *, is_fork: bool) -> None:
        coverage: Any = importlib.import_module("coverage")
        current = coverage.Coverage.current()
        self._coverage: Any = None
        self._per_test = settings["per_test"]
        if current is not None and not is_fork:
            return
        if current is not None:
            current.stop()
        self._coverage = coverage.Coverage(
            data_file=str(directory / DATA_NAME),
            source=settings["source"],
            branch=settings["branch"],
            config_file=settings["config_file"],
            messages=False,
        )
        # If subprocesses are measured, the environment of the parent says so already.
        self._coverage.set_option("run:patch", [])
        self._coverage._warn_no_data = self._coverage._warn_unimported_source = False
        self._coverage.start()

    def begin_test(self, nodeid: str) -> None:
        """Attribute the lines that follow to the test, if the session measures each test by itself."""
        if self._coverage is not None and self._per_test:
            self._coverage.switch_context(f"{nodeid}|run")

    def save(self) -> None:
        """Write the data into the run's folder."""
        if self._coverage is not None:
            self._coverage.stop()
            self._coverage.save()


def hand_over_coverage(config: pytest.Config, directory: Path) -> None:
    """Move a run's data to where pytest-cov finds it when it combines its own at the end of the session."""
    controller = _find_controller(config)
    if controller is None:
        return
    target = os.path.abspath(controller.cov.config.data_file)  # noqa: PTH100 - as pytest-cov does
    for file in directory.glob(f"{DATA_NAME}*"):
        shutil.move(file, f"{target}.repro-{secrets.token_hex(8)}")
        # These warnings are about this process, which does not execute the code under test any more.
        controller.cov._warn_no_data = controller.cov._warn_unimported_source = False
