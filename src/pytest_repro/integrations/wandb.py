"""Weights & Biases: verdicts in the summary of a run (``pip install pytest-repro[wandb]``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_repro.errors import UsageError
from pytest_repro.integrations.training import explain_missing
from pytest_repro.integrations.verdicts import Value

try:
    import wandb
except ImportError:
    raise explain_missing("Weights & Biases", "wandb") from None

__all__ = ["WandbLogger"]

PREFIX = "repro/"


class WandbLogger:
    """Log verdicts to a run of Weights & Biases: values in its summary as ``repro/...``, the report as an artifact.

    Parameters
    ----------
    run : wandb.Run, optional
        The run in progress without it.

    Raises
    ------
    UsageError
        If there is no run.

    Examples
    --------
    >>> with wandb.init(project="digits") as run:
    ...     log_verdict("repro.json", WandbLogger(run))
    """

    def __init__(self, run: Any = None) -> None:
        run = wandb.run if run is None else run
        if run is None:
            raise UsageError("WandbLogger needs a run: call it within `with wandb.init(...) as run:`")
        self._run = run

    def log_values(self, values: Mapping[str, Value]) -> None:
        """Replace the values under ``repro/`` in the run's summary."""
        for name in [name for name in self._run.summary.keys() if name.startswith(PREFIX)]:  # noqa: SIM118
            del self._run.summary[name]
        self._run.summary.update({PREFIX + name: value for name, value in values.items()})

    def log_file(self, path: Path) -> None:
        """Log the report as an artifact of the type ``repro-report``."""
        artifact = wandb.Artifact(f"repro-report-{self._run.id}", type="repro-report")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)
