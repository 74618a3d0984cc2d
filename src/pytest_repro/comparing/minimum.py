"""The smallest bounds that would have passed: the most useful line of a report."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

import numpy as np

from pytest_repro.model import Leaf, Tolerance
from pytest_repro.numerics.kinds import find_kind
from pytest_repro.numerics.statistics import ArrayStatistics

#: A ratio was rounded, and so is the product that a bound is tested by; a norm is summed in another order elsewhere.
_RATIO_SLACK = 2.0**-20
_UNKNOWN = np.dtype("V1")


def describe_minimum(leaf: Leaf, statistics: ArrayStatistics, tolerance: Tolerance) -> str:
    """Say which single bound would have passed: ``max_ulp=7 (or atol=1.2e-06, rtol=3.1e-07)``; empty if none would."""
    if statistics.max_ulp is None or statistics.incomparable:
        return ""
    kind = find_kind(leaf.dtype, _UNKNOWN)
    if not kind.scales and not kind.rounds:
        return ""
    options = [f"max_ulp={max(1, statistics.max_ulp)}"] if kind.rounds else []
    if statistics.max_abs is not None and math.isfinite(statistics.max_abs):
        options.append(f"atol={round_up(statistics.max_abs)}")
    if statistics.max_rel is not None and math.isfinite(statistics.max_rel):
        options.append(f"rtol={round_up(statistics.max_rel, slack=_RATIO_SLACK)}")
    if tolerance.norm and _holds_cap(statistics, tolerance):
        assert statistics.norm_rel is not None
        options.append(f"norm={round_up(statistics.norm_rel, slack=_RATIO_SLACK)}")
    if not options:
        return ""
    return options[0] + (f" (or {', '.join(options[1:])})" if options[1:] else "")


def _holds_cap(statistics: ArrayStatistics, tolerance: Tolerance) -> bool:
    """Tell whether no single element would be held up by the cap, were the norm's bound what it should be."""
    if statistics.norm_rel is None or not math.isfinite(statistics.norm_rel):
        return False
    return (statistics.max_abs or 0.0) <= tolerance.norm_cap * statistics.norm_rel * (statistics.max_expected or 0.0)


def round_up(value: float, *, slack: float = 0.0) -> str:
    """Return two significant digits that are no less than a figure and, relatively, its slack."""
    if value == 0:
        return "5e-324"
    exact = Decimal(value) * (1 + Decimal(slack))
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), rounding=ROUND_CEILING)
    return f"{float(rounded):.2g}"
