"""Comparison of artifacts: what differs, whether it is allowed, and its description."""

from __future__ import annotations

from pytest_repro.comparing.artifacts import compare_artifacts
from pytest_repro.comparing.asserting import (
    assert_close,
    assert_identical,
    assert_metrics_close,
    assert_predictions_close,
    assert_weights_close,
)
from pytest_repro.comparing.live import compare, compare_for_bench
from pytest_repro.comparing.message import describe_comparison
from pytest_repro.comparing.metrics import assert_metrics_equivalent
from pytest_repro.model import render_comparisons_with

# A Comparison prints itself with text from this layer.
render_comparisons_with(describe_comparison)

__all__ = [
    "assert_close",
    "assert_identical",
    "assert_metrics_close",
    "assert_metrics_equivalent",
    "assert_predictions_close",
    "assert_weights_close",
    "compare",
    "compare_artifacts",
    "compare_for_bench",
]
