"""Statistical equivalence of metrics over runs, and the confidence interval of a proportion.

Student's t distribution is computed here, so that a verdict does not depend on whether SciPy is installed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from pytest_repro.errors import UsageError

#: With fewer runs the test can hardly show equivalence, and its result means nothing.
MIN_PAIRED_RUNS = 5
MIN_UNPAIRED_RUNS = 10
_POWER = 0.8
MAX_RUNS = 10_000
_EPSILON = 1e-16
_TINY = 1e-300
_MAX_TERMS = 10_000


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Result of two one-sided t tests (TOST) of one metric.

    Attributes
    ----------
    difference : float
        Mean of actual minus mean of expected.
    low, high : float
        Interval of the difference at confidence ``1 - 2 * alpha``. The metrics are equivalent if it lies within the
        margin.
    p_value : float
        The larger of the two p-values.
    runs_needed : int or None
        Runs per side that would show equivalence with a power of 80 % at this difference and spread, or None if no
        number of runs would.
    """

    difference: float
    low: float
    high: float
    p_value: float
    margin: float
    alpha: float
    runs: tuple[int, int]
    is_equivalent: bool
    runs_needed: int | None


def check_equivalence(
    actual: Sequence[float], expected: Sequence[float], *, margin: float, paired: bool = False, alpha: float = 0.05
) -> Equivalence:
    """Test whether two sets of runs have the same mean, up to a margin.

    Parameters
    ----------
    actual, expected : sequence of float
        One metric, a number for each run. Paired runs are in the same order (by seed).
    margin : float
        Largest difference that does not matter, in the metric's unit.
    paired : bool
        Whether run i of both sides has the same seed. Then 5 runs are enough, otherwise 10 per side are needed.
    alpha : float
        Probability of calling metrics equivalent that differ by the margin.

    Returns
    -------
    Equivalence

    Raises
    ------
    UsageError
        If there are too few runs, unequal numbers of paired runs, a value that is not finite, or an impossible margin.

    Notes
    -----
    Schuirmann 1987, with Welch's degrees of freedom for unpaired runs. A test for "no significant difference" is not
    offered, because it gives no evidence of equality.
    """
    _check(actual, expected, margin, paired, alpha)
    if paired:
        differences = [a - e for a, e in zip(actual, expected, strict=True)]
        mean, spread, freedom = fmean(differences), variance(differences) / len(differences), len(differences) - 1.0
    else:
        mean = fmean(actual) - fmean(expected)
        parts = [(variance(side) / len(side), len(side)) for side in (actual, expected)]
        spread = sum(part for part, _ in parts)
        freedom = spread**2 / sum(part**2 / (n - 1) for part, n in parts) if spread else 1.0
    error = math.sqrt(spread)
    p_value = _tost(mean, error, freedom, margin)
    reach = t_quantile(1 - alpha, freedom) * error if error else 0.0
    return Equivalence(
        mean, mean - reach, mean + reach, p_value, margin, alpha, (len(actual), len(expected)),
        is_equivalent=p_value < alpha,
        runs_needed=_runs_needed(mean, error * math.sqrt(min(len(actual), len(expected))), margin, alpha, paired),
    )  # fmt: skip


def _tost(mean: float, error: float, freedom: float, margin: float) -> float:
    if not error:
        return 0.0 if abs(mean) < margin else 1.0
    return max(t_survival((mean + margin) / error, freedom), t_survival((margin - mean) / error, freedom))


def _runs_needed(mean: float, deviation: float, margin: float, alpha: float, paired: bool) -> int | None:
    """Return the runs per side at which the quantiles of level and power fit into the rest of the margin."""
    rest = margin - abs(mean)
    if rest <= 0:
        return None
    runs = MIN_PAIRED_RUNS if paired else MIN_UNPAIRED_RUNS
    while runs <= MAX_RUNS:
        freedom = runs - 1.0 if paired else 2.0 * runs - 2
        if (t_quantile(1 - alpha, freedom) + t_quantile(_POWER, freedom)) * deviation <= rest * math.sqrt(runs):
            return runs
        runs += max(1, runs // 20)
    return None


def _check(actual: Sequence[float], expected: Sequence[float], margin: float, paired: bool, alpha: float) -> None:
    if not (0 < margin < math.inf):
        raise UsageError(
            f"margin (the largest difference that does not matter) must be positive and finite, got {margin!r}"
        )
    if not (0 < alpha < 0.5):
        raise UsageError(f"alpha must be between 0 and 0.5, got {alpha!r}")
    if paired and len(actual) != len(expected):
        raise UsageError(
            f"paired runs need as many actual as expected runs, got {len(actual)} actual and {len(expected)} expected"
        )
    needed = MIN_PAIRED_RUNS if paired else MIN_UNPAIRED_RUNS
    if min(len(actual), len(expected)) < needed:
        how = "with the same seeds on both sides" if paired else "per side, or 5 pairs of the same seeds (paired=True)"
        raise UsageError(
            f"equivalence needs at least {needed} runs {how}, got {len(actual)} and {len(expected)}:"
            " fewer runs can hardly show it"
        )
    for side, values in (("actual", actual), ("expected", expected)):
        for i, value in enumerate(values):
            if not math.isfinite(value):
                raise UsageError(f"run {i + 1} of {side} is {value!r}: a failed run cannot be used as a sample")


def wilson_interval(successes: int, trials: int, *, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion, by default with 95 % confidence.

    Raises
    ------
    UsageError
        If `trials` is 0, or `successes` exceeds it.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise UsageError(f"an interval needs trials > 0 and 0 <= successes <= trials, got {successes} of {trials}")
    share, square = successes / trials, z * z / trials
    centre = share + square / 2
    reach = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    low, high = (centre - reach) / (1 + square), (centre + reach) / (1 + square)
    return (0.0 if successes == 0 else max(0.0, low)), (1.0 if successes == trials else min(1.0, high))


def t_survival(t: float, freedom: float) -> float:
    """Return P(T > t) of Student's t distribution with `freedom` degrees of freedom."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    tail = 0.5 * regularized_beta(freedom / (freedom + t * t), freedom / 2, 0.5)
    return tail if t > 0 else 1.0 - tail


def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile t with P(T <= t) = probability, for a probability in (0, 1)."""
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_survival(high, freedom) > 1 - probability:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_survival(middle, freedom) > 1 - probability else (low, middle)
    return high


def regularized_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b).

    Notes
    -----
    Continued fraction (DLMF 8.17.22) by Lentz's method, with the symmetry relation (DLMF 8.17.4) where it converges
    slowly.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - regularized_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front / (a * _continued_fraction(x, a, b))


def _continued_fraction(x: float, a: float, b: float) -> float:
    value = c = 1.0
    d = 0.0
    for term in range(1, _MAX_TERMS):
        m = term // 2
        if term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + numerator * d or _TINY)
        c = 1.0 + numerator / c or _TINY
        value *= c * d
        if abs(c * d - 1.0) < _EPSILON * 10:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x!r}, a={a!r}, b={b!r}")
