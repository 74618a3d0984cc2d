"""MLflow: verdicts as tags of a run (``pip install pytest-repro[mlflow]``).

For bundles of evidence, see ``pytest-repro log-mlflow``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_repro.errors import UsageError
from pytest_repro.integrations.training import explain_missing
from pytest_repro.integrations.verdicts import Value
from pytest_repro.records.tracking import replace_tags

try:
    import mlflow
except ImportError:
    raise explain_missing("MLflow", "mlflow") from None

__all__ = ["MlflowLogger"]

#: Not the prefix of bundles of evidence, whose tags stay.
PREFIX = "repro-report."
FOLDER = "repro-report"


class MlflowLogger:
    """Log verdicts to a run of MLflow: values as tags ``repro-report.*``, the report as an artifact.

    Parameters
    ----------
    run_id : str, optional
        The active run without it.
    client : mlflow.MlflowClient, optional
        A client of the current tracking URI without it.

    Raises
    ------
    UsageError
        If there is no run.

    Examples
    --------
    >>> with mlflow.start_run():
    ...     log_verdict("repro.json", MlflowLogger())
    """

    def __init__(self, run_id: str | None = None, *, client: Any = None) -> None:
        if run_id is None:
            active = mlflow.active_run()
            if active is None:
                raise UsageError("MlflowLogger needs a run: pass run_id, or call it within `with mlflow.start_run():`")
            run_id = active.info.run_id
        self._run_id = run_id
        self._client = mlflow.MlflowClient() if client is None else client

    def log_values(self, values: Mapping[str, Value]) -> None:
        """Replace the run's tags ``repro-report.*``."""
        texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
        replace_tags(
            self._client.get_run(self._run_id).data.tags,
            {PREFIX + name: text for name, text in texts.items()},
            lambda name: self._client.delete_tag(self._run_id, name),
            lambda name, value: self._client.set_tag(self._run_id, name, value),
            prefix=PREFIX,
        )

    def log_file(self, path: Path) -> None:
        """Log the report into the folder ``repro-report`` of the run's artifacts."""
        self._client.log_artifact(self._run_id, str(path), FOLDER)
