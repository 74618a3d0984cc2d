"""scikit-learn's configuration. Its estimators draw from NumPy's global generator, which has its own adapter."""

from __future__ import annotations

from typing import Any

import sklearn

from pytest_repro.frameworks.base_state import Flag, Request

FLAGS = (Flag("sklearn.config", sklearn.get_config, lambda saved: sklearn.set_config(**saved)),)


def seed(seed: int) -> None:
    """Do nothing, because scikit-learn has no global generator."""


def save_rng() -> Any:
    """Return an empty state, because scikit-learn has no global generator."""
    return ()


def restore_rng(saved: Any) -> None:
    """Do nothing, because scikit-learn has no global generator."""


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request nothing, because threads are varied by the axis ``threads``."""
    return []
