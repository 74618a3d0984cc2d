"""Hydra: a composed configuration as a run's hyperparameters (``pip install pytest-repro[hydra]``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_repro.errors import UsageError
from pytest_repro.integrations.training import explain_missing

try:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
except ImportError:
    raise explain_missing("Hydra", "hydra") from None

__all__ = ["compose_config"]


def compose_config(
    repro: Any,
    directory: str | os.PathLike[str],
    config_name: str,
    overrides: Sequence[str] = (),
    *,
    name: str = "config",
) -> Any:
    """Compose a configuration as Hydra's command line does, and record it among the run's hyperparameters.

    Hydra's global state is cleared afterwards, so that the next run composes anew.

    Parameters
    ----------
    repro : Repro
        The value of the `repro` fixture.
    directory : path
        Folder of the configuration files. A relative path is relative to the working directory.
    config_name : str
        The primary file, without ``.yaml``.
    overrides : sequence of str
        As on the command line: ``["optimizer.lr=0.1", "model=large"]``.
    name : str
        Name among the run's hyperparameters.

    Returns
    -------
    omegaconf.DictConfig

    Raises
    ------
    UsageError
        If Hydra is already initialised, cannot compose the configuration, or an interpolation cannot be resolved.

    Warns
    -----
    ReproWarning
        For each value that is missing (``???``).
    """
    if GlobalHydra.instance().is_initialized():
        raise UsageError(
            "Hydra is already initialised: call compose_config outside of `initialize` and of @hydra.main, or clear "
            "it by GlobalHydra.instance().clear()"
        )
    try:
        with initialize_config_dir(str(Path(directory).absolute()), version_base=None):
            config = compose(config_name, overrides=list(overrides))
    except HydraException as error:
        raise UsageError(f"Hydra cannot compose {config_name!r} from {os.fspath(directory)!r}: {error}") from None
    repro.config(config, name=name)
    return config
