"""The values that every layer speaks in: tolerance, condition, leaf, comparison, verdict, result.

Nothing here imports NumPy, pytest or a framework, so that the plugin can be loaded at no cost.
"""

from __future__ import annotations

from pytest_repro.model.comparison import (
    KIND_ORDER,
    ArtifactComparison,
    Comparison,
    DivergenceKind,
    Verdict,
    render_comparisons_with,
)
from pytest_repro.model.places import FirstDivergence, PlaceFinding, TraceRow, ValueKind
from pytest_repro.model.results import Cause, CauseWords, Diagnosis, EquivalenceFinding, Location, RunResult, TestResult
from pytest_repro.model.runs import (
    ANOTHER_SEED,
    JSON,
    REFERENCE,
    Artifacts,
    Condition,
    Judgement,
    Leaf,
    NotCompared,
    Reached,
)
from pytest_repro.model.tolerance import Tolerance, TolerancePolicy

__all__ = [
    "ANOTHER_SEED",
    "JSON",
    "KIND_ORDER",
    "REFERENCE",
    "ArtifactComparison",
    "Artifacts",
    "Cause",
    "CauseWords",
    "Comparison",
    "Condition",
    "Diagnosis",
    "DivergenceKind",
    "EquivalenceFinding",
    "FirstDivergence",
    "Judgement",
    "Leaf",
    "Location",
    "NotCompared",
    "PlaceFinding",
    "Reached",
    "RunResult",
    "TestResult",
    "Tolerance",
    "TolerancePolicy",
    "TraceRow",
    "ValueKind",
    "Verdict",
    "render_comparisons_with",
]
