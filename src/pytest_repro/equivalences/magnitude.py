"""How large a difference is, and of what kind: rounding, a factor, a lower precision, or something else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.model import Artifacts, Comparison, Leaf
from pytest_repro.numerics.formats import format_of

#: In multiples of the unit roundoff, relative to the array's norm: sums in another order stay below it. A
#: random-walk bound for 10**6 summands is 1,000; a wrong factor or a lost term is far beyond in every dtype but the
#: 8-bit ones.
ROUNDING_FACTOR = 1000.0


def is_rounding(comparison: Comparison) -> bool:
    """Tell whether every divergence is as small as sums in another order make it."""
    divergences = comparison.divergences
    return bool(divergences) and all(_is_small(d.kind, d.dtype, d.norm_rel) for d in divergences)


def _is_small(kind: str, dtype: str, norm_rel: float | None) -> bool:
    fmt = format_of("float64" if dtype == "float" else dtype)
    if kind != "values" or fmt is None or norm_rel is None:
        return False
    # Five per cent at most: in 8-bit formats a thousand roundoffs are the value itself.
    return norm_rel <= min(ROUNDING_FACTOR * fmt.unit_roundoff, 0.05)


def tell_distance(comparison: Comparison) -> str:
    """Tell the largest distance of a comparison in the units that its reader may allow."""
    divergences = comparison.divergences
    relative = [d.norm_rel for d in divergences if d.norm_rel is not None]
    ulps = [d.max_ulp for d in divergences if d.max_ulp is not None]
    parts = [f"max {max(ulps):,} ulp"] if ulps else []
    parts += [f"norm of the difference {max(relative):.1e} of the result's"] if relative else []
    return ", ".join(parts) or f"{divergences[0].kind} differs" if divergences else "no difference"


def find_factor(actual: Artifacts, expected: Artifacts) -> float | None:
    """Return the one factor by which all floating-point artifacts differ, or None.

    The least-squares factor of each artifact must leave no more than rounding, and agree between artifacts.
    """
    factors = []
    for path, leaf in expected.leaves.items():
        other = actual.leaves.get(path)
        if other is None or other.shape != leaf.shape:
            return None
        left, right = as_float64(other), as_float64(leaf)
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


def find_whole_factor(actual: Artifacts, expected: Artifacts) -> float | None:
    """Return the factor of :func:`find_factor` where it is k or 1/k for a whole k of at least 2, else None."""
    factor = find_factor(actual, expected)
    if factor is None or factor <= 0:
        return None
    whole = max(factor, 1 / factor)
    return factor if round(whole) >= 2 and math.isclose(whole, round(whole), rel_tol=1e-3) else None


def as_float64(leaf: Leaf) -> NDArray[np.float64] | None:
    """Return a real floating-point artifact as a vector of float64; None for any other, and where it is not finite."""
    if leaf.form == "value":
        data: Any = np.array([leaf.data]) if isinstance(leaf.data, float) else None
    else:
        data = leaf.data if leaf.form == "array" and isinstance(leaf.data, np.ndarray) else None
    if data is None or data.dtype.kind != "f":
        return None
    values = data.astype(np.float64).reshape(-1)
    return values if values.size and bool(np.isfinite(values).all()) else None


def find_lower_precision(actual: Leaf, expected: Leaf) -> str | None:
    """Name the format (float16, bfloat16, float32) through which `expected` became `actual` by rounding."""
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
    """Round to another format and back: ``float16``, ``float32``, or ``bfloat16``, which NumPy lacks."""
    with np.errstate(over="ignore", under="ignore"):
        if name != "bfloat16":
            return values.astype(name).astype(values.dtype)
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        # Round to nearest, ties to even: add half of what is cut off, less one unless the kept part is odd.
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return rounded.view(np.float32).reshape(values.shape).astype(values.dtype)
