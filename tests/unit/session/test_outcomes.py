"""An outcome as something that is compared."""

from __future__ import annotations

from pytest_repro.model import Verdict
from pytest_repro.session.outcomes import compare_outcomes


def test_another_outcome_is_a_divergence_with_both_sides_told() -> None:
    comparison = compare_outcomes("skipped")
    assert comparison.verdict is Verdict.DIVERGED
    (difference,) = comparison.divergences
    assert (difference.artifact, difference.expected, difference.actual) == ("outcome", "passed", "skipped")
