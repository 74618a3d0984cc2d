"""XGBoost's boosters, by the UBJSON model that XGBoost writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost

from pytest_repro.frameworks.base_values import Branch, FreshLeaf, Handler


def capture_booster(booster: Any) -> Branch:
    """Capture a booster by its UBJSON model, which has trees, objective and attributes but no number of threads."""
    model = np.frombuffer(bytes(booster.save_raw("ubj")), dtype=np.uint8)
    return Branch("Booster", [("model", FreshLeaf("array", model, "bytes", "uint8", model.shape))])


HANDLERS: dict[type, Handler] = {xgboost.Booster: capture_booster}
