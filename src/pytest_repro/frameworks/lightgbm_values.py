"""LightGBM's boosters, by the model text that LightGBM writes."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

from pytest_repro.frameworks.base_values import Branch, FreshLeaf, Handler


def capture_booster(booster: Any) -> Branch:
    """Capture a booster by its model text without the parameters, which name threads and files."""
    text = booster.model_to_string(num_iteration=-1).partition("\nparameters:\n")[0]
    model = np.frombuffer(text.encode(), dtype=np.uint8)
    return Branch("Booster", [("model", FreshLeaf("array", model, "str", "uint8", model.shape))])


HANDLERS: dict[type, Handler] = {lightgbm.Booster: capture_booster}
