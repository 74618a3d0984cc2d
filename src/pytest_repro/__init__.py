"""Prove that machine-learning code gives the same result whoever runs it, whenever, wherever.

Every public name is imported on first use, so that loading the plugin costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_repro.axes import Axis
    from pytest_repro.comparing import (
        assert_close,
        assert_identical,
        assert_metrics_close,
        assert_metrics_equivalent,
        assert_predictions_close,
        assert_weights_close,
        compare,
    )
    from pytest_repro.equivalences import (
        Equivalence,
        assert_accumulation_equivalent,
        assert_batch_invariant,
        assert_compile_equivalent,
        assert_order_invariant,
        assert_resume_equivalent,
        assert_roundtrip,
        assert_thread_invariant,
        assert_workers_equivalent,
        assert_world_size_invariant,
        reproducible_estimator_checks,
    )
    from pytest_repro.errors import DivergenceError, InconclusiveError, ReproError, ReproWarning, UsageError
    from pytest_repro.model import Comparison, Tolerance, Verdict
    from pytest_repro.seeding import deterministic, seed_everything
    from pytest_repro.session.standalone import assert_reproducible, check_reproducible, examine

_HOMES = {
    "Axis": "axes",
    "Comparison": "model",
    "DivergenceError": "errors",
    "Equivalence": "equivalences",
    "InconclusiveError": "errors",
    "ReproError": "errors",
    "ReproWarning": "errors",
    "Tolerance": "model",
    "UsageError": "errors",
    "Verdict": "model",
    "assert_accumulation_equivalent": "equivalences",
    "assert_batch_invariant": "equivalences",
    "assert_close": "comparing",
    "assert_compile_equivalent": "equivalences",
    "assert_identical": "comparing",
    "assert_metrics_close": "comparing",
    "assert_metrics_equivalent": "comparing",
    "assert_order_invariant": "equivalences",
    "assert_predictions_close": "comparing",
    "assert_reproducible": "session.standalone",
    "assert_resume_equivalent": "equivalences",
    "assert_roundtrip": "equivalences",
    "assert_thread_invariant": "equivalences",
    "assert_weights_close": "comparing",
    "assert_workers_equivalent": "equivalences",
    "assert_world_size_invariant": "equivalences",
    "check_reproducible": "session.standalone",
    "compare": "comparing",
    "deterministic": "seeding",
    "examine": "session.standalone",
    "reproducible_estimator_checks": "equivalences",
    "seed_everything": "seeding",
}

__all__ = [
    "Axis",
    "Comparison",
    "DivergenceError",
    "Equivalence",
    "InconclusiveError",
    "ReproError",
    "ReproWarning",
    "Tolerance",
    "UsageError",
    "Verdict",
    "assert_accumulation_equivalent",
    "assert_batch_invariant",
    "assert_close",
    "assert_compile_equivalent",
    "assert_identical",
    "assert_metrics_close",
    "assert_metrics_equivalent",
    "assert_order_invariant",
    "assert_predictions_close",
    "assert_reproducible",
    "assert_resume_equivalent",
    "assert_roundtrip",
    "assert_thread_invariant",
    "assert_weights_close",
    "assert_workers_equivalent",
    "assert_world_size_invariant",
    "check_reproducible",
    "compare",
    "deterministic",
    "examine",
    "reproducible_estimator_checks",
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
