"""LightGBM's boosters, by the model text that LightGBM writes."""

from __future__ import annotations

from typing import Any

import lightgbm

from pytest_repro.frameworks.base_values import Branch, Handler
from pytest_repro.frameworks.columns import fresh_bytes


def capture_booster(booster: Any) -> Branch:
    """Capture a booster by its model text without the parameters, which name threads and files.

    Notes
    -----
    The categories that follow the parameters belong to the model, and so do the best iteration, with which it predicts,
    and its scores.
    """
    text = booster.model_to_string(num_iteration=-1)
    trees, _, rest = text.partition("\nparameters:\n")
    model = fresh_bytes((trees + rest.partition("\nend of parameters\n")[2]).encode(), "str")
    children = [("model", model), ("best_iteration", booster.best_iteration), ("best_score", booster.best_score)]
    return Branch("Booster", children)


HANDLERS: dict[type, Handler] = {lightgbm.Booster: capture_booster}
