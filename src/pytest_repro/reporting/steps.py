"""How far each value of ``repro.step`` is from run 1's, step by step, out of a comparison. Computes no figure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from pytest_repro.model import ArtifactComparison, TestResult

Figures = Callable[[ArtifactComparison], dict[str, Any]]
_STEP = re.compile(r"step/(\d{1,15})/(.+)", re.DOTALL)
#: Values of one test told by step, and steps of one value; the rest is counted.
MAX_SERIES = 40
MAX_POINTS = 2000


def steps_to_json(result: TestResult, figures: Figures) -> list[dict[str, Any]]:
    """Return a series for each run and value that differs at some step: how far it is at each step captured.

    `figures` gives those of one artifact. Values are in the order in which they first differ.
    """
    captured = _steps_by_name(result.captured_steps)
    found = [
        _series(run.index, name, captured[name], differing, figures)
        for run, comparison in result.comparisons
        for name, differing in _differing(comparison.differences).items()
    ]
    return sorted(found, key=lambda series: (series["first_differing"], series["run"]))[:MAX_SERIES]


def is_step(artifact: str) -> bool:
    """Tell whether an artifact is a value of one step."""
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


def _series(
    run: int, name: str, captured: list[int], differing: dict[int, ArtifactComparison], figures: Figures
) -> dict[str, Any]:
    steps = sorted({*captured, *differing})
    points = [{"step": step, **_point(differing.get(step), figures)} for step in steps[:MAX_POINTS]]
    return {
        "run": run,
        "name": name,
        "captured": len(steps),
        "differing": len(differing),
        "first_differing": min(differing),
        "points": points,
        "left_out": len(steps) - len(points),
    }


def _point(difference: ArtifactComparison | None, figures: Figures) -> dict[str, Any]:
    if difference is None:
        return {"kind": "identical", "max_ulp": 0, "max_abs": 0.0, "norm_rel": 0.0, "within": True}
    told = figures(difference)
    return {**{key: told[key] for key in ("kind", "max_ulp", "max_abs", "norm_rel")}, "within": difference.within}
