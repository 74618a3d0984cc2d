"""Tolerances other than plain bounds: bounds per dtype, a float64 reference, and a noise floor."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.leaves import compare_leaf
from pytest_repro.errors import UsageError
from pytest_repro.model import ArtifactComparison, Artifacts, Leaf, Tolerance, TolerancePolicy
from pytest_repro.numerics.arrays import difference_norm, error_rms
from pytest_repro.numerics.formats import format_of

#: Below this number of elements an RMSE is so noisy that the factor is doubled and the baseline's error is pooled.
SMALL_ELEMENTS = 16
_FLOATS_ONLY = "an automatic tolerance applies only to real floating-point numbers; other values must be identical"


@dataclass(slots=True)
class _ReferenceCase:
    """Measured errors of one artifact, which wait for the pooled error before they are judged."""

    difference: ArtifactComparison
    tolerance: Tolerance
    count: int
    scale: float
    roundoff: float
    actual_rms: float
    expected_rms: float


@dataclass(slots=True)
class RuleBook:
    """Judge of the artifacts of one comparison that have an automatic tolerance.

    Notes
    -----
    Reference: ``RMSE(actual) <= factor * RMSE(expected) + u * scale``, both against the float64 reference, where u is
    the unit roundoff and scale is the reference's root mean square. Below 16 elements the factor is doubled and
    RMSE(expected) is at least the pooled relative RMSE of all such artifacts, times the scale, because the baseline of
    a small artifact may be exact by chance. The actual error is never pooled, since a broken bias would hide among
    good ones.

    Noise floor: ``||actual - expected|| <= factor * median_i ||jittered_i - expected||``.
    """

    policy: TolerancePolicy
    _trees: dict[int, list[Artifacts]] = field(default_factory=dict)
    _cases: dict[str, _ReferenceCase] = field(default_factory=dict)

    def compare_leaf(
        self, path: str, actual: Leaf, expected: Leaf, tolerance: Tolerance, ignored: frozenset[str]
    ) -> ArtifactComparison | None:
        """Compare an artifact bit by bit, and judge differing floating-point values by the rule."""
        trees = self._capture_references(tolerance)
        difference = compare_leaf(path, actual, expected, Tolerance(), ignored)
        if difference is None or difference.kind not in ("values", "nan"):
            return difference
        difference = dataclasses.replace(difference, allowed=tolerance.describe(), minimum="")
        roundoff = unit_roundoff_of(expected.dtype)
        if roundoff is None:
            return dataclasses.replace(difference, note=_FLOATS_ONLY)
        if difference.max_ulp is None:
            return difference  # NaN or infinity on one side
        references = [_find_reference(path, expected, tree, tolerance.rule) for tree in trees]
        if tolerance.rule == "noise_floor":
            return _judge_by_floor(difference, actual, expected, references, tolerance)
        self._cases[path] = _measure_errors(difference, actual, expected, references[0], tolerance, roundoff)
        return difference

    def settle(self, differences: list[ArtifactComparison]) -> list[ArtifactComparison]:
        """Judge the artifacts that waited for the pooled error of the small ones."""
        if not self._cases:
            return differences
        small = [case for case in self._cases.values() if case.count < SMALL_ELEMENTS and case.scale]
        total = sum(case.count for case in small)
        squares = sum(case.count * (case.expected_rms / case.scale) ** 2 for case in small)
        pooled = math.sqrt(squares / total) if total else 0.0
        judged = {path: _judge_by_reference(case, pooled) for path, case in self._cases.items()}
        return [judged.get(difference.artifact, difference) for difference in differences]

    def _capture_references(self, tolerance: Tolerance) -> list[Artifacts]:
        key = id(tolerance)
        if key not in self._trees:
            given = tolerance.reference if tolerance.rule == "noise_floor" else [tolerance.reference]
            trees = [tree if isinstance(tree, Artifacts) else capture_tree(tree, copy=False) for tree in given]
            self._trees[key] = trees
        return self._trees[key]


def compare_by_dtype(
    path: str, actual: Leaf, expected: Leaf, tolerance: Tolerance, ignored: frozenset[str]
) -> ArtifactComparison | None:
    """Compare an artifact by the bounds of its dtype, and record the origin of the bounds."""
    bound, origin = tolerance.for_dtype(expected.dtype)
    difference = compare_leaf(path, actual, expected, bound, ignored)
    if difference is None or difference.kind not in ("values", "nan"):
        return difference
    return dataclasses.replace(difference, allowed=origin)


def unit_roundoff_of(dtype: str) -> float | None:
    """Return the unit roundoff of a floating-point dtype, or None."""
    fmt = format_of("float64" if dtype == "float" else dtype.replace(">f", "float").replace("float4", "float32"))
    return fmt.unit_roundoff if fmt else None


def _find_reference(path: str, expected: Leaf, tree: Artifacts, rule: str) -> Leaf:
    """Return the reference's artifact at a path, after a check of its shape and dtype."""
    leaf = tree.leaves.get(path)
    name = repr(shorten(escape(path)))
    what = "the float64 reference" if rule == "reference" else "a jittered run"
    if leaf is None or leaf.form == "node":
        raise UsageError(f"Tolerance.auto: {what} has no artifact {name}; it must have the structure of the result")
    if leaf.shape != expected.shape:
        raise UsageError(f"Tolerance.auto: {what} has shape {leaf.shape} at {name}, the result {expected.shape}")
    wanted = ("float64", "float") if rule == "reference" else (expected.dtype,)
    if leaf.dtype not in wanted:
        raise UsageError(f"Tolerance.auto: {what} has dtype {leaf.dtype} at {name}, but must have {wanted[0]}")
    return leaf


def _measure_errors(
    difference: ArtifactComparison, actual: Leaf, expected: Leaf, reference: Leaf, tolerance: Tolerance, roundoff: float
) -> _ReferenceCase:
    exact = data_of(reference)
    errors = [error_rms(data_of(leaf), exact, dtype=dtype_of(leaf)) for leaf in (actual, expected)]
    return _ReferenceCase(difference, tolerance, exact.size, errors[0].scale, roundoff, errors[0].rms, errors[1].rms)


def _judge_by_reference(case: _ReferenceCase, pooled: float) -> ArtifactComparison:
    factor, baseline = case.tolerance.factor, case.expected_rms
    if case.count < SMALL_ELEMENTS:
        factor, baseline = 2 * factor, max(baseline, pooled * case.scale)
    allowed = factor * baseline + case.roundoff * case.scale
    within = case.actual_rms <= allowed  # False for NaN
    ratio = case.actual_rms / baseline if baseline else None
    times = f"{ratio:.2g} x the baseline's" if ratio is not None else f"{case.actual_rms:.2g}, the baseline's is 0"
    note = (
        f"error {times}, allowed {factor:g} x; RMSE against the float64 reference {case.actual_rms:.2g} actual,"
        f" {case.expected_rms:.2g} expected;"
        f" allowed {allowed:.2g} = {factor:g} x {baseline:.2g} + {case.roundoff:.2g} x scale {case.scale:.2g}"
    )
    return dataclasses.replace(_decide(case.difference, within, note), error_ratio=ratio)


def _judge_by_floor(
    difference: ArtifactComparison, actual: Leaf, expected: Leaf, jittered: list[Leaf], tolerance: Tolerance
) -> ArtifactComparison:
    dtype, baseline = dtype_of(expected), data_of(expected)
    floor = median(difference_norm(data_of(leaf), baseline, dtype=dtype) for leaf in jittered)
    distance = difference_norm(data_of(actual), baseline, dtype=dtype)
    within = distance <= tolerance.factor * floor
    note = (
        f"distance {distance:.2g} from the baseline; the median of {len(jittered)} runs jittered by one ulp is"
        f" {floor:.2g}, allowed {tolerance.factor:g} times that"
    )
    return _decide(difference, within, note)


def _decide(difference: ArtifactComparison, within: bool, note: str) -> ArtifactComparison:
    return dataclasses.replace(difference, within=within, over=0 if within else difference.differing, note=note)


def data_of(leaf: Leaf) -> NDArray[Any]:
    """Return an artifact's numbers, or their codes, as an array in host memory."""
    if leaf.form == "value":
        return np.array(leaf.data, np.float64)
    return leaf.data if isinstance(leaf.data, np.ndarray) else leaf.data.cpu().numpy()


def dtype_of(leaf: Leaf) -> str:
    """Return an artifact's logical dtype, which is float64 for a Python float."""
    return "float64" if leaf.form == "value" else leaf.dtype
