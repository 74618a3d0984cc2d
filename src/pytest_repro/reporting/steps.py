"""Distances of each value of ``repro.step`` from run 1's, step by step. Computes no figure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from pytest_repro.model import ArtifactComparison, TestResult
from pytest_repro.model.reported import StepPoint, StepSeries

_STEP = re.compile(r"step/(\d{1,15})/(.+)", re.DOTALL)
#: Series of one test, and points of one series; the rest is counted.
MAX_SERIES = 40
MAX_POINTS = 2000


def make_series(result: TestResult) -> tuple[StepSeries, ...]:
    """Return a series for each run and value that differs at some step, those that differ first first."""
    captured = _steps_by_name(result.captured_steps)
    found = [
        _series(run.index, name, captured[name], differing)
        for run, comparison in result.comparisons
        for name, differing in _differing(comparison.differences).items()
    ]
    return tuple(sorted(found, key=lambda series: (series.first_differing, series.run))[:MAX_SERIES])


def is_step(artifact: str) -> bool:
    """Return whether an artifact is a value of one step."""
    return artifact.startswith("step/") and _STEP.fullmatch(artifact) is not None


def _steps_by_name(artifacts: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for artifact in artifacts:
        if match := _STEP.fullmatch(artifact):
            found[match[2]].append(int(match[1]))
    return found


def _differing(differences: Iterable[ArtifactComparison]) -> dict[str, dict[int, ArtifactComparison]]:
    found: dict[str, dict[int, ArtifactComparison]] = defaultdict(dict)
    for difference in differences:
        if match := _STEP.fullmatch(difference.artifact):
            found[match[2]][int(match[1])] = difference
    return found


def _series(run: int, name: str, captured: list[int], differing: dict[int, ArtifactComparison]) -> StepSeries:
    steps = sorted({*captured, *differing})
    points = tuple(_point(step, differing.get(step)) for step in steps[:MAX_POINTS])
    return StepSeries(run, name, len(steps), len(differing), min(differing), points, len(steps) - len(points))


def _point(step: int, found: ArtifactComparison | None) -> StepPoint:
    if found is None:
        return StepPoint(step, "identical", 0, 0.0, 0.0, within=True)
    return StepPoint(step, found.kind, found.max_ulp, found.max_abs, found.norm_rel, found.within)
