"""Prove that machine-learning code gives the same results, whoever runs it, whenever and wherever.

Every public name is imported when it is first used, so that loading the plugin costs nothing.
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
    from pytest_repro.engines.current import Repro
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
    from pytest_repro.errors import (
        CaptureError,
        ChildError,
        DataError,
        DivergenceError,
        InconclusiveError,
        MissingExtraError,
        RecordError,
        ReproError,
        ReproWarning,
        StoreError,
        UnsupportedTypeError,
        UsageError,
    )
    from pytest_repro.model import (
        ArtifactComparison,
        Cause,
        Comparison,
        FirstDivergence,
        Location,
        NotCompared,
        Tolerance,
        TolerancePolicy,
        Verdict,
    )
    from pytest_repro.model.reported import (
        Omission,
        ReportedDiagnosis,
        ReportedRun,
        ReportedTest,
        RunDifference,
        StepPoint,
        StepSeries,
    )
    from pytest_repro.seeding import DeterministicMode, Setting, deterministic, seed_everything
    from pytest_repro.session.standalone import Examination, assert_reproducible, check_reproducible, examine

    __version__: str

#: Module -> its public names.
_MODULES = {
    "axes": ("Axis",),
    "comparing": (
        "assert_close",
        "assert_identical",
        "assert_metrics_close",
        "assert_metrics_equivalent",
        "assert_predictions_close",
        "assert_weights_close",
        "compare",
    ),
    "equivalences": (
        "Equivalence",
        "assert_accumulation_equivalent",
        "assert_batch_invariant",
        "assert_compile_equivalent",
        "assert_order_invariant",
        "assert_resume_equivalent",
        "assert_roundtrip",
        "assert_thread_invariant",
        "assert_workers_equivalent",
        "assert_world_size_invariant",
        "reproducible_estimator_checks",
    ),
    "engines.current": ("Repro",),
    "errors": (
        "CaptureError",
        "ChildError",
        "DataError",
        "DivergenceError",
        "InconclusiveError",
        "MissingExtraError",
        "RecordError",
        "ReproError",
        "ReproWarning",
        "StoreError",
        "UnsupportedTypeError",
        "UsageError",
    ),
    "model": (
        "ArtifactComparison",
        "Cause",
        "Comparison",
        "FirstDivergence",
        "Location",
        "NotCompared",
        "Tolerance",
        "TolerancePolicy",
        "Verdict",
    ),
    "model.reported": (
        "Omission",
        "ReportedDiagnosis",
        "ReportedRun",
        "ReportedTest",
        "RunDifference",
        "StepPoint",
        "StepSeries",
    ),
    "seeding": ("DeterministicMode", "Setting", "deterministic", "seed_everything"),
    "session.standalone": ("Examination", "assert_reproducible", "check_reproducible", "examine"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArtifactComparison",
    "Axis",
    "CaptureError",
    "Cause",
    "ChildError",
    "Comparison",
    "DataError",
    "DeterministicMode",
    "DivergenceError",
    "Equivalence",
    "Examination",
    "FirstDivergence",
    "InconclusiveError",
    "Location",
    "MissingExtraError",
    "NotCompared",
    "Omission",
    "RecordError",
    "ReportedDiagnosis",
    "ReportedRun",
    "ReportedTest",
    "Repro",
    "ReproError",
    "ReproWarning",
    "RunDifference",
    "Setting",
    "StepPoint",
    "StepSeries",
    "StoreError",
    "Tolerance",
    "TolerancePolicy",
    "UnsupportedTypeError",
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
    __tracebackhide__ = True
    if name == "__version__":
        # pyproject.toml has the version, and the installed metadata is what was made from it.
        from pytest_repro.model.release import own_version

        value: Any = own_version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def load_ipython_extension(ipython: Any) -> None:
    """Register the cell magic ``%%reproducible`` in IPython: ``%load_ext pytest_repro``."""
    from pytest_repro.session.magic import register

    register(ipython)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
