"""Magnitude and kind of a difference: rounding, one factor, or a lower precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_repro.model import ArtifactComparison, Artifacts, Comparison, Leaf
from pytest_repro.numerics.formats import format_of

#: Bound on the difference of sums in another order, in multiples of the unit roundoff and relative to the array's norm.
#: A random walk of 10**6 summands stays below 1,000. A wrong factor or a lost term is far above it, except in 8 bits.
ROUNDING_FACTOR = 1000.0


def is_rounding(comparison: Comparison) -> bool:
    """Return whether there are divergences, and each is as small as that of sums in another order."""
    divergences = comparison.divergences
    return bool(divergences) and all(map(_is_small, divergences))


def _is_small(difference: ArtifactComparison) -> bool:
    fmt = format_of("float64" if difference.dtype == "float" else difference.dtype)
    if difference.kind != "values" or fmt is None or difference.norm_rel is None:
        return False
    # At most 5 %: in 8-bit formats a thousand roundoffs are as large as the value itself.
    return difference.norm_rel <= min(ROUNDING_FACTOR * fmt.unit_roundoff, 0.05)


def describe_distance(comparison: Comparison) -> str:
    """Return the largest distance of a comparison, in the units of the bounds."""
    divergences = comparison.divergences
    relative = [d.norm_rel for d in divergences if d.norm_rel is not None]
    ulps = [d.max_ulp for d in divergences if d.max_ulp is not None]
    parts = [f"max {max(ulps):,} ulp"] if ulps else []
    parts += [f"norm of the difference {max(relative):.1e} of the result's"] if relative else []
    return ", ".join(parts) or (f"kind of difference: {divergences[0].kind}" if divergences else "no difference")


def find_factor(actual: Artifacts, expected: Artifacts) -> float | None:
    """Return the one factor by which all floating-point artifacts differ, or None.

    The least-squares factor of each artifact must explain it except for rounding, and be the same for all artifacts.
    """
    factors = []
    for path, leaf in expected.leaves.items():
        other = actual.leaves.get(path)
        if other is None or other.shape != leaf.shape:
            return None
        left, right = _as_float64(other), _as_float64(leaf)
        if left is None or right is None or not (left.any() or right.any()):
            continue
        if not right.any():
            return None
        factor = float(left @ right / (right @ right))
        if np.linalg.norm(left - factor * right) > 1e-3 * np.linalg.norm(left):
            return None
        factors.append(factor)
    if not factors or not all(math.isclose(factor, factors[0], rel_tol=1e-2) for factor in factors):
        return None
    return factors[0]


class FittedWeights(NamedTuple):
    """Weights with which the results of single parts add up.

    Attributes
    ----------
    given, required : tuple of float, one for each part
        With which they give the result over the parts, and the result of the whole.
    requires_rows : bool
        Whether the latter are the parts' shares of the rows.
    """

    given: tuple[float, ...]
    required: tuple[float, ...]
    requires_rows: bool


def fit_weights(
    whole: Artifacts, combined: Artifacts, alone: Sequence[Artifacts], rows: Sequence[int]
) -> FittedWeights | None:
    """Fit the weights of parts whose results are combined by other weights than the whole requires, or return None.

    Parameters
    ----------
    whole, combined : Artifacts
        Results of the whole batch and over its parts.
    alone : sequence of Artifacts
        Result of each part by itself.
    rows : sequence of int
        Rows of each part.

    Notes
    -----
    Least squares. The combined result must be explained by equal weights or by shares of the rows, and the whole by
    weights that add up to 1, both except for rounding.
    """
    columns = [_as_vector(each, whole) for each in alone]
    target, actual = _as_vector(whole, whole), _as_vector(combined, whole)
    if target is None or actual is None or any(column is None for column in columns):
        return None
    matrix = np.stack([column for column in columns if column is not None], axis=1)
    shares, equal = np.array(rows) / sum(rows), np.full(len(rows), 1 / len(rows))
    if _is_near(matrix @ shares, target):
        is_equal = _is_near(matrix @ equal, actual) and not np.allclose(equal, shares, atol=1e-3)
        return FittedWeights(tuple(equal), tuple(shares), requires_rows=True) if is_equal else None
    scale = np.abs(matrix).max()
    system = np.vstack([matrix, np.full((1, len(rows)), scale)])  # the last equation: they add up to 1
    weights, _, rank, _ = np.linalg.lstsq(system, np.append(target, scale), rcond=1e-6)
    if rank < len(rows) or not _is_near(matrix @ weights, target) or not math.isclose(weights.sum(), 1, rel_tol=1e-2):
        return None
    for given in (shares, equal):
        if _is_near(matrix @ given, actual) and not np.allclose(given, weights, atol=1e-3):
            return FittedWeights(tuple(given), tuple(weights), requires_rows=False)
    return None


def _as_vector(artifacts: Artifacts, like: Artifacts) -> NDArray[np.float64] | None:
    vectors = [_as_float64(artifacts.leaves[path]) for path in like.leaves if path in artifacts.leaves]
    found = [vector for vector in vectors if vector is not None]
    sizes = sum(vector.size for path in like.leaves if (vector := _as_float64(like.leaves[path])) is not None)
    joined = np.concatenate(found) if found else None
    return joined if joined is not None and joined.size == sizes else None


def _is_near(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    return bool(np.linalg.norm(actual - expected) <= 1e-4 * np.linalg.norm(expected))


def find_integer_factor(actual: Artifacts, expected: Artifacts) -> float | None:
    """Return the factor of :func:`find_factor` if it is k or 1/k for an integer k >= 2, or None."""
    factor = find_factor(actual, expected)
    if factor is None or factor <= 0:
        return None
    ratio = max(factor, 1 / factor)
    return factor if round(ratio) >= 2 and math.isclose(ratio, round(ratio), rel_tol=1e-3) else None


def _as_float64(leaf: Leaf) -> NDArray[np.float64] | None:
    """Return a finite real floating-point artifact as a vector of float64, or None for any other."""
    if leaf.form == "value":
        data: Any = np.array([leaf.data]) if isinstance(leaf.data, float) else None
    else:
        data = leaf.data if leaf.form == "array" and isinstance(leaf.data, np.ndarray) else None
    if data is None or data.dtype.kind != "f":
        return None
    values = data.astype(np.float64).reshape(-1)
    return values if values.size and bool(np.isfinite(values).all()) else None


def find_lower_precision(actual: Leaf, expected: Leaf) -> str | None:
    """Return the lower precision (float16, bfloat16, float32) to which `actual` was rounded, or None."""
    if actual.dtype != expected.dtype or actual.shape != expected.shape or expected.form != "array":
        return None
    if not isinstance(actual.data, np.ndarray) or not isinstance(expected.data, np.ndarray):
        return None
    if expected.dtype not in ("float32", "float64") or expected.data.dtype.kind != "f":
        return None
    for name in ("float16", "bfloat16", "float32"):
        if name != expected.dtype and np.array_equal(round_through(expected.data, name), actual.data, equal_nan=True):
            return name
    return None


def round_through(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Round values to ``float16``, ``float32`` or ``bfloat16``, and return them in their own dtype."""
    with np.errstate(over="ignore", under="ignore"):
        if name != "bfloat16":
            return values.astype(name).astype(values.dtype)
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        # NumPy has no bfloat16. Round to nearest, ties to even: add half of the part that is cut off, less one unless
        # the part that is kept is odd.
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return rounded.view(np.float32).reshape(values.shape).astype(values.dtype)
