"""XGBoost's boosters as leaves: the model as XGBoost itself writes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost

from pytest_repro.frameworks.base_values import Branch, FreshLeaf, Handler


def capture_booster(booster: Any) -> Branch:
    """Capture a booster by its UBJSON model: trees, objective, attributes; no run-time settings such as threads."""
    model = np.frombuffer(bytes(booster.save_raw("ubj")), dtype=np.uint8)
    return Branch("Booster", [("model", FreshLeaf("array", model, "bytes", "uint8", model.shape))])


#: Data: captured from local variables too.
HANDLERS: dict[type, Handler] = {xgboost.Booster: capture_booster}
EXTRAS: dict[type, Handler] = {}
SUBCLASS_HANDLERS: dict[type, Handler] = {}
