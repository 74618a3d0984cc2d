"""Comparison of one artifact with its baseline: type, dtype, shape and traits first, then the values."""

from __future__ import annotations

import dataclasses
import math
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

import numpy as np

from pytest_repro.comparing.elements import describe_element, describe_value, escape, shorten
from pytest_repro.model import ArtifactComparison, DivergenceKind, Leaf, Tolerance
from pytest_repro.numerics.arrays import compare_arrays
from pytest_repro.numerics.kinds import find_kind
from pytest_repro.numerics.statistics import ArrayStatistics

#: For arrays up to this size, comparing two copies of the bytes is faster than setting up blocks.
_SMALL_BYTES = 64 * 1024
#: Largest distance between Python integers that is reported as a number [bits]. A larger one fits into no float.
_MAX_DISTANCE_BITS = 1000
#: Relative slack of a minimum: a ratio was rounded, as is the product that tests it, and a norm may be summed in
#: another order elsewhere.
_RATIO_SLACK = 2.0**-20
_UNKNOWN = np.dtype("V1")

#: Kind, actual, expected, and an additional note or "".
_Mismatch = tuple[DivergenceKind, str, str, str]


def compare_leaf(
    path: str, actual: Leaf, expected: Leaf, tolerance: Tolerance, ignored_traits: frozenset[str] = frozenset()
) -> ArtifactComparison | None:
    """Compare one artifact with its baseline, and return None if every bit is the same.

    The form, type, dtype, shape and traits are compared first. If only a type or a trait differs, the values are
    compared too, and their figures are part of the result.
    """
    mismatch = _find_mismatch(actual, expected, ignored_traits)
    if mismatch is not None and mismatch[0] != "type":
        return _report_mismatch(path, actual, expected, mismatch, None)
    if mismatch is not None:
        values = _compare_content(path, actual, expected, Tolerance()) if _are_commensurable(actual, expected) else None
        return _report_mismatch(path, actual, expected, mismatch, values)
    if expected.form == "node":
        return None
    return _compare_content(path, actual, expected, tolerance)


def missing_leaf(path: str, expected: Leaf) -> ArtifactComparison:
    """Report an artifact that only the baseline contains."""
    return _one_sided("missing", path, expected, actual="absent", expected=describe_leaf(expected))


def extra_leaf(path: str, actual: Leaf) -> ArtifactComparison:
    """Report an artifact that the baseline does not contain."""
    return _one_sided("extra", path, actual, actual=describe_leaf(actual), expected="absent")


def count_elements(leaf: Leaf) -> int:
    """Return the number of elements of an artifact: 1 for a plain value, 0 for a container."""
    if leaf.form == "node":
        return 0
    return math.prod(leaf.shape) if leaf.form == "array" else 1


def describe_leaf(leaf: Leaf) -> str:
    """Describe an artifact briefly: ``Tensor float32 (64, 30)``, or a plain value with its type."""
    if leaf.form == "value":
        return f"{escape(leaf.type_name)} {describe_value(leaf.data)}"
    return " ".join([escape(leaf.type_name), *([escape(leaf.dtype), str(leaf.shape)] if leaf.form == "array" else [])])


def _one_sided(kind: DivergenceKind, path: str, leaf: Leaf, *, actual: str, expected: str) -> ArtifactComparison:
    count = count_elements(leaf)
    return ArtifactComparison(
        path,
        kind,
        within=False,
        dtype=leaf.dtype,
        shape=leaf.shape if leaf.form != "node" else None,
        elements=count,
        differing=count,
        over=count,
        actual=actual,
        expected=expected,
    )


def _find_mismatch(actual: Leaf, expected: Leaf, ignored: frozenset[str]) -> _Mismatch | None:
    """Return (kind, actual, expected, note) of the first difference in form, type, dtype, shape or traits."""
    if "node" in (actual.form, expected.form):
        if actual.form != expected.form:
            return "structure", describe_leaf(actual), describe_leaf(expected), "a container on one side only"
        if actual.type_name != expected.type_name:
            return "structure", actual.type_name, expected.type_name, ""
        return _find_trait(actual, expected, ignored, "structure")
    if actual.form != expected.form or actual.type_name != expected.type_name:
        return "type", describe_leaf(actual), describe_leaf(expected), ""
    if actual.dtype != expected.dtype:
        return "dtype", actual.dtype, expected.dtype, ""
    if actual.shape != expected.shape:
        return "shape", str(actual.shape), str(expected.shape), ""
    return _find_trait(actual, expected, ignored, "type")


def _find_trait(actual: Leaf, expected: Leaf, ignored: frozenset[str], kind: DivergenceKind) -> _Mismatch | None:
    if actual.traits == expected.traits:
        return None
    left, right = dict(actual.traits), dict(expected.traits)
    names = [n for n in dict.fromkeys([*right, *left]) if left.get(n) != right.get(n) and n not in ignored]
    if not names:
        return None
    sides = [", ".join(f"{n}={shorten(escape(side.get(n, 'none')))}" for n in names) for side in (left, right)]
    return kind, sides[0], sides[1], f"{', '.join(names)} differ{'s' if len(names) == 1 else ''}"


def _are_commensurable(actual: Leaf, expected: Leaf) -> bool:
    return (actual.form, actual.dtype, actual.shape) == (expected.form, expected.dtype, expected.shape)


def _report_mismatch(
    path: str, actual: Leaf, expected: Leaf, mismatch: _Mismatch, values: ArtifactComparison | None
) -> ArtifactComparison:
    kind, left, right, note = mismatch
    if values is not None:
        note = "; ".join(filter(None, [note, "the values differ too"]))
        return dataclasses.replace(values, kind=kind, within=False, actual=left, expected=right, minimum="", note=note)
    if kind == "type" and _are_commensurable(actual, expected):
        note = "; ".join(filter(None, [note, "the values are identical"]))
    report = _one_sided(kind, path, expected, actual=left, expected=right)
    return dataclasses.replace(report, differing=0, over=0, note=note)


def _compare_content(path: str, actual: Leaf, expected: Leaf, tolerance: Tolerance) -> ArtifactComparison | None:
    if expected.form == "value":
        return _compare_values(path, actual, expected, tolerance)
    statistics = measure_leaf(actual, expected, tolerance)
    if statistics.is_identical:
        return None
    at = statistics.first_index
    assert at is not None
    texts = [describe_element(leaf.data, at, leaf.dtype) for leaf in (actual, expected)]
    return _report(path, expected, statistics, tolerance, *texts)


def measure_leaf(actual: Leaf, expected: Leaf, tolerance: Tolerance) -> ArrayStatistics:
    """Measure the differences of two array leaves of one dtype and shape, on their device."""
    left, right = actual.data, expected.data
    if not isinstance(left, np.ndarray) or not isinstance(right, np.ndarray):
        from pytest_repro.frameworks.torch_comparing import compare_tensors  # they are tensors, so torch is loaded

        return compare_tensors(left, right, dtype=expected.dtype, bound=tolerance)
    is_small = left.nbytes <= _SMALL_BYTES and left.dtype == right.dtype and not left.dtype.hasobject
    if is_small and left.tobytes() == right.tobytes():
        return ArrayStatistics(left.size)
    return compare_arrays(left, right, dtype=expected.dtype, bound=tolerance)


def _compare_values(path: str, actual: Leaf, expected: Leaf, tolerance: Tolerance) -> ArtifactComparison | None:
    left, right = actual.data, expected.data
    if isinstance(left, (float, complex)) and isinstance(right, (float, complex)):
        dtype = np.complex128 if isinstance(right, complex) else np.float64
        statistics = compare_arrays(np.array(left, dtype), np.array(right, dtype), bound=tolerance)
    elif type(left) is type(right) and left == right:
        return None
    elif isinstance(left, int) and isinstance(right, int) and not isinstance(left, bool):
        statistics = _measure_integers(left, right, tolerance)
    else:
        statistics = ArrayStatistics(1, differing=1, over=1)
    if statistics.is_identical:
        return None
    return _report(path, expected, statistics, tolerance, describe_value(left), describe_value(right))


def _measure_integers(actual: int, expected: int, tolerance: Tolerance) -> ArrayStatistics:
    """Measure the difference of two unequal Python integers exactly, at any size."""
    distance = abs(actual - expected)
    allowed = Fraction(tolerance.atol) + Fraction(tolerance.rtol) * abs(expected)
    ratio = _to_float(Fraction(distance, abs(expected))) if expected else math.inf
    over = int(distance > allowed)
    return ArrayStatistics(
        1,
        differing=1,
        over=over,
        max_ulp=distance if distance.bit_length() <= _MAX_DISTANCE_BITS else None,
        max_abs=_to_float(Fraction(distance)),
        max_rel=ratio,
        norm_rel=ratio,
        max_expected=_to_float(Fraction(abs(expected))),
    )


def _to_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _report(
    path: str, leaf: Leaf, statistics: ArrayStatistics, tolerance: Tolerance, actual: str, expected: str
) -> ArtifactComparison:
    within = _is_within(statistics, tolerance)
    judged_by_element = bool(tolerance.max_ulp or tolerance.rtol or tolerance.atol)
    over = 0 if within else (statistics.over if judged_by_element else statistics.differing)
    has_nan = bool(statistics.nan_actual or statistics.nan_expected)
    return ArtifactComparison(
        path,
        "nan" if has_nan else "values",
        within=within,
        dtype=leaf.dtype,
        shape=leaf.shape,
        elements=statistics.elements,
        differing=statistics.differing,
        over=over,
        max_ulp=None if statistics.incomparable else statistics.max_ulp,
        max_abs=statistics.max_abs,
        max_rel=statistics.max_rel,
        norm_rel=statistics.norm_rel,
        nan_actual=statistics.nan_actual,
        nan_expected=statistics.nan_expected,
        inf_actual=statistics.inf_actual,
        inf_expected=statistics.inf_expected,
        ulp_histogram=statistics.ulp_histogram,
        first_index=statistics.first_index,
        worst_index=statistics.worst_index,
        expected=expected,
        actual=actual,
        allowed=tolerance.describe(),
        minimum=describe_minimum(leaf, statistics, tolerance),
        note=_describe_incomparable(statistics),
    )


def _is_within(statistics: ArrayStatistics, tolerance: Tolerance) -> bool:
    """Return whether the figures keep the elementwise bounds that were given, and the norm if it was given."""
    if tolerance.is_exact or statistics.incomparable:
        return False
    by_element = bool(tolerance.max_ulp or tolerance.rtol or tolerance.atol)
    if by_element and statistics.over:
        return False
    return by_element if not tolerance.norm else _is_within_norm(statistics, tolerance)


def _is_within_norm(statistics: ArrayStatistics, tolerance: Tolerance) -> bool:
    if statistics.norm_rel is None or statistics.max_abs is None or statistics.max_expected is None:
        return False
    assert tolerance.norm is not None
    cap = tolerance.norm_cap * tolerance.norm * statistics.max_expected
    return statistics.norm_rel <= tolerance.norm and statistics.max_abs <= cap


def _describe_incomparable(statistics: ArrayStatistics) -> str:
    if not statistics.incomparable:
        return ""
    sides = (
        ("NaN", statistics.nan_actual, statistics.nan_expected),
        ("infinity", statistics.inf_actual, statistics.inf_expected),
    )
    parts = [f"{left:,} {what} in actual, {right:,} in expected" for what, left, right in sides if left or right]
    return f"differing elements include {'; '.join(parts)}: no tolerance allows these"


def describe_minimum(leaf: Leaf, statistics: ArrayStatistics, tolerance: Tolerance) -> str:
    """Describe the smallest single bounds that would have passed: ``max_ulp=7 (or atol=1.2e-06, rtol=3.1e-07)``.

    The text is empty if no bound would have passed.
    """
    if statistics.max_ulp is None or statistics.incomparable:
        return ""
    kind = find_kind(leaf.dtype, _UNKNOWN)
    if not kind.scales and not kind.rounds:
        return ""
    options = [f"max_ulp={max(1, statistics.max_ulp)}"] if kind.rounds else []
    if statistics.max_abs is not None and math.isfinite(statistics.max_abs):
        options.append(f"atol={_round_up(statistics.max_abs)}")
    if statistics.max_rel is not None and math.isfinite(statistics.max_rel):
        options.append(f"rtol={_round_up(statistics.max_rel, slack=_RATIO_SLACK)}")
    if tolerance.norm and _keeps_cap(statistics, tolerance):
        assert statistics.norm_rel is not None
        options.append(f"norm={_round_up(statistics.norm_rel, slack=_RATIO_SLACK)}")
    if not options:
        return ""
    return options[0] + (f" (or {', '.join(options[1:])})" if options[1:] else "")


def _keeps_cap(statistics: ArrayStatistics, tolerance: Tolerance) -> bool:
    """Return whether every element would be below the cap if the norm's bound were the measured norm."""
    if statistics.norm_rel is None or not math.isfinite(statistics.norm_rel):
        return False
    return (statistics.max_abs or 0.0) <= tolerance.norm_cap * statistics.norm_rel * (statistics.max_expected or 0.0)


def _round_up(value: float, *, slack: float = 0.0) -> str:
    """Round a figure, increased by a relative slack, up to two significant digits."""
    if value == 0:
        return "5e-324"
    exact = Decimal(value) * (1 + Decimal(slack))
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), rounding=ROUND_CEILING)
    return f"{float(rounded):.2g}"
