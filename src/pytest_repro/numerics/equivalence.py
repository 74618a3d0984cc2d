"""Statistical equivalence of metrics over runs, and the interval of a share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from pytest_repro.errors import UsageError
from pytest_repro.numerics.student import t_quantile, t_survival

#: Below these the test can hardly come out as equivalent, and its answer says nothing.
MIN_PAIRED_RUNS = 5
MIN_UNPAIRED_RUNS = 10
_POWER = 0.8
_MAX_RUNS = 10_000


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided t tests (TOST) of one metric.

    Attributes
    ----------
    difference : float
        Mean of actual less mean of expected.
    low, high : float
        Interval of the difference at confidence ``1 - 2 * alpha``; equivalent if it lies within the margin.
    p_value : float
        The larger of the two tests'.
    runs_needed : int or None
        Runs an arm that would show it with a power of 80 % at this difference and spread; None if none would.
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
        One metric, a number for each run; paired runs stand in the same order (by seed).
    margin : float
        Largest difference that does not matter, in the metric's unit.
    paired : bool
        Whether run i of both sides shares its seed: then 5 runs will do, otherwise 10 on each side.
    alpha : float
        Chance of calling equivalent what differs by the margin.

    Returns
    -------
    Equivalence

    Raises
    ------
    UsageError
        If there are too few runs, unequal numbers of paired ones, a value that is not finite, or an impossible margin.

    Notes
    -----
    Schuirmann 1987; unpaired with Welch's degrees of freedom. "No significant difference" is no evidence of equality
    and is not offered.
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
    """Return the runs a side at which the quantiles of level and power fit into what is left of the margin."""
    room = margin - abs(mean)
    if room <= 0:
        return None
    runs = MIN_PAIRED_RUNS if paired else MIN_UNPAIRED_RUNS
    while runs <= _MAX_RUNS:
        freedom = runs - 1.0 if paired else 2.0 * runs - 2
        if (t_quantile(1 - alpha, freedom) + t_quantile(_POWER, freedom)) * deviation <= room * math.sqrt(runs):
            return runs
        runs += max(1, runs // 20)
    return None


def _check(actual: Sequence[float], expected: Sequence[float], margin: float, paired: bool, alpha: float) -> None:
    if not (0 < margin < math.inf):
        raise UsageError(
            f"margin, the largest difference that does not matter, must be positive and finite; got {margin!r}"
        )
    if not (0 < alpha < 0.5):
        raise UsageError(f"alpha must lie between 0 and 0.5, got {alpha!r}")
    if paired and len(actual) != len(expected):
        raise UsageError(f"paired runs come in pairs, got {len(actual)} actual and {len(expected)} expected")
    needed = MIN_PAIRED_RUNS if paired else MIN_UNPAIRED_RUNS
    if min(len(actual), len(expected)) < needed:
        how = "that share their seeds" if paired else "on each side, or 5 pairs that share their seeds (paired=True)"
        raise UsageError(
            f"equivalence needs at least {needed} runs {how}, got {len(actual)} and {len(expected)}:"
            " with fewer it could hardly be shown"
        )
    for side, values in (("actual", actual), ("expected", expected)):
        for i, value in enumerate(values):
            if not math.isfinite(value):
                raise UsageError(f"run {i + 1} of {side} gave {value!r}: a run that failed is no sample")


def wilson_interval(successes: int, trials: int, *, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return Wilson's score interval of a share; 95 % by default.

    Raises
    ------
    UsageError
        If there are no trials, or more successes than trials.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise UsageError(f"an interval needs trials and at most as many successes, got {successes} of {trials}")
    share, square = successes / trials, z * z / trials
    centre = share + square / 2
    reach = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    low, high = (centre - reach) / (1 + square), (centre + reach) / (1 + square)
    return (0.0 if successes == 0 else max(0.0, low)), (1.0 if successes == trials else min(1.0, high))
