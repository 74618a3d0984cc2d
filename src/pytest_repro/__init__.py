"""Prove that machine-learning code gives the same result whoever runs it, whenever, wherever.

Every public name is imported on first use, so that loading the plugin costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_repro.comparing import (
        assert_close,
        assert_identical,
        assert_metrics_close,
        assert_metrics_equivalent,
        assert_predictions_close,
        assert_weights_close,
        compare,
    )
    from pytest_repro.errors import DivergenceError, InconclusiveError, ReproError, ReproWarning, UsageError
    from pytest_repro.model import Comparison, Tolerance, Verdict
    from pytest_repro.running.axes import Axis
    from pytest_repro.seeding import deterministic, seed_everything
    from pytest_repro.session.standalone import assert_reproducible, check_reproducible, examine

_HOMES = {
    "Axis": "running.axes",
    "Comparison": "model",
    "DivergenceError": "errors",
    "InconclusiveError": "errors",
    "ReproError": "errors",
    "ReproWarning": "errors",
    "Tolerance": "model",
    "UsageError": "errors",
    "Verdict": "model",
    "assert_close": "comparing",
    "assert_identical": "comparing",
    "assert_metrics_close": "comparing",
    "assert_metrics_equivalent": "comparing",
    "assert_predictions_close": "comparing",
    "assert_reproducible": "session.standalone",
    "assert_weights_close": "comparing",
    "check_reproducible": "session.standalone",
    "compare": "comparing",
    "deterministic": "seeding",
    "examine": "session.standalone",
    "seed_everything": "seeding",
}

__all__ = [
    "Axis",
    "Comparison",
    "DivergenceError",
    "InconclusiveError",
    "ReproError",
    "ReproWarning",
    "Tolerance",
    "UsageError",
    "Verdict",
    "assert_close",
    "assert_identical",
    "assert_metrics_close",
    "assert_metrics_equivalent",
    "assert_predictions_close",
    "assert_reproducible",
    "assert_weights_close",
    "check_reproducible",
    "compare",
    "deterministic",
    "examine",
    "seed_everything",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
