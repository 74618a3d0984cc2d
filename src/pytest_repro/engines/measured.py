"""Coverage of what children execute, where pytest-cov measures the session; without it nothing is paid."""

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
        # As it is: coverage takes its default name for a wish to look into pyproject.toml and setup.cfg as well.
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
    directory : Path
        Of the run.
    is_fork : bool
        A measurement that a fork has inherited is left to the server; one that a fresh interpreter has begun by itself
        (coverage's own support of subprocesses) makes another needless.
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
        # Whoever patches subprocess has done so in the parent, whose environment this process has.
        self._coverage.set_option("run:patch", [])
        self._coverage._warn_no_data = self._coverage._warn_unimported_source = False
        self._coverage.start()

    def begin_test(self, nodeid: str) -> None:
        """Tell the lines of the test from those of importing and collecting it, where the session does so."""
        if self._coverage is not None and self._per_test:
            self._coverage.switch_context(f"{nodeid}|run")

    def save(self) -> None:
        """Write the data beside the answer."""
        if self._coverage is not None:
            self._coverage.stop()
            self._coverage.save()


def hand_over_coverage(config: pytest.Config, directory: Path) -> None:
    """Put a run's data where pytest-cov finds it when it combines its own at the end of the session."""
    controller = _find_controller(config)
    if controller is None:
        return
    target = os.path.abspath(controller.cov.config.data_file)  # noqa: PTH100 - as pytest-cov does
    for file in directory.glob(f"{DATA_NAME}*"):
        shutil.move(file, f"{target}.repro-{secrets.token_hex(8)}")
        # Said of this process alone, which is no longer all there is.
        controller.cov._warn_no_data = controller.cov._warn_unimported_source = False
