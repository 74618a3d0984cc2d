"""How a run ended, as something that is compared: a run that skipped did not do what run 1 did."""

from __future__ import annotations

from pytest_repro.model import ArtifactComparison, Comparison


def compare_outcomes(actual: str) -> Comparison:
    """Return the difference between run 1, which passed, and a run that ended otherwise."""
    difference = ArtifactComparison(
        "outcome",
        "values",
        within=False,
        dtype="str",
        elements=1,
        differing=1,
        over=1,
        expected="passed",
        actual=actual,
    )
    return Comparison((difference,), artifacts=1, elements=1)
