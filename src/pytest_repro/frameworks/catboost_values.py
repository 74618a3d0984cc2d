"""CatBoost's models, by the binary model that CatBoost writes, and their parameters."""

from __future__ import annotations

from typing import Any

import catboost

from pytest_repro.frameworks.base_values import Branch, Handler
from pytest_repro.frameworks.columns import fresh_bytes

#: Entries of a model that say when and where it was trained, or repeat the parameters.
_NOT_A_RESULT = ("model_guid", "train_finish_time", "params", "output_options", "catboost_version_info")
_NOT_A_PARAMETER = {
    "thread_count", "n_jobs", "verbose", "silent", "logging_level", "train_dir", "allow_writing_files", "metric_period",
    "save_snapshot", "snapshot_file", "snapshot_interval", "used_ram_limit",
}  # fmt: skip


def capture_model(model: Any) -> Branch:
    """Capture a model by its parameters and, once it is fitted, by its trees and the metrics of its training."""
    parameters = {name: value for name, value in model.get_params().items() if name not in _NOT_A_PARAMETER}
    children: list[tuple[str, Any]] = [("params", parameters)]
    if model.is_fitted():
        plain = model.copy()
        metadata = plain.get_metadata()
        for name in _NOT_A_RESULT:
            metadata[name] = ""
        children.append(("model", fresh_bytes(plain._serialize_model())))
        children += [(name, getattr(model, name)) for name in ("best_score_", "best_iteration_", "evals_result_")]
    return Branch(type(model).__name__, children)


HANDLERS: dict[type, Handler] = {catboost.CatBoost: capture_model}
