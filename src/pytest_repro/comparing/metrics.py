"""Statistical equivalence, up to a margin, of the metrics of two sets of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_repro.comparing.elements import describe_value
from pytest_repro.comparing.judgements import judged
from pytest_repro.errors import DivergenceError, UsageError
from pytest_repro.numerics.equivalence import MAX_RUNS, Equivalence, check_equivalence


@judged
def assert_metrics_equivalent(
    actual_runs: Sequence[Any],
    expected_runs: Sequence[Any],
    *,
    margin: float | Mapping[str, float],
    paired: bool = False,
    alpha: float = 0.05,
) -> None:
    """Assert that two sets of runs have the same mean metrics, up to a margin.

    Parameters
    ----------
    actual_runs, expected_runs : sequence of number, or of dict of name -> number
        One entry for each run (seed). Paired runs are in the same order.
    margin : float, or dict of name -> float
        Largest difference of the means that does not matter to you, in the metric's unit.
    paired : bool
        Whether entry i of both sides has the same seed. Then 5 runs are enough, otherwise 10 per side are needed.
    alpha : float
        Probability of passing although the means differ by the margin.

    Raises
    ------
    DivergenceError
        If equivalence is not shown. The message gives the interval and the number of runs that would be needed.
    UsageError
        If there are too few runs, a metric is missing from a run or from `margin`, or a value is not a finite number.

    Examples
    --------
    >>> before = [0.905, 0.911, 0.908, 0.912, 0.907]
    >>> after = [0.906, 0.910, 0.909, 0.911, 0.908]  # the same seeds, in the same order
    >>> assert_metrics_equivalent(after, before, margin=0.005, paired=True)
    """
    __tracebackhide__ = True
    actual, expected = _collect(actual_runs, "actual_runs"), _collect(expected_runs, "expected_runs")
    if actual.keys() != expected.keys():
        raise UsageError(f"the metrics differ: {sorted(actual)} in actual_runs, {sorted(expected)} in expected_runs")
    margins = _margins(margin, list(expected))
    results = {
        name: check_equivalence(actual[name], expected[name], margin=margins[name], paired=paired, alpha=alpha)
        for name in expected
    }
    failed = {name: result for name, result in results.items() if not result.is_equivalent}
    if failed:
        lines = [f"equivalence is not shown for {len(failed)} of {len(results)} metrics"]
        raise DivergenceError("\n".join(lines + [_describe(name, result, paired) for name, result in failed.items()]))


def _collect(runs: Sequence[Any], side: str) -> dict[str, list[float]]:
    """Return a dict from metric to its value in each run. A metric without a name is called ``metric``."""
    if isinstance(runs, (str, bytes, Mapping)) or not hasattr(runs, "__len__"):
        raise UsageError(f"{side} must be a sequence with an entry for each run, got a {type(runs).__name__}")
    if not len(runs):
        raise UsageError(f"{side} is empty; give the metrics of at least one run")
    rows = [run if isinstance(run, Mapping) else {"metric": run} for run in runs]
    for i, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise UsageError(f"run {i + 1} of {side} has the metrics {list(row)}, run 1 has {list(rows[0])}")
    if not rows[0]:
        raise UsageError(f"the runs of {side} have no metrics")
    numbered = list(enumerate(rows, 1))
    return {name: [_number(row[name], f"{name} in run {i} of {side}") for i, row in numbered] for name in rows[0]}


def _number(value: Any, what: str) -> float:
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{what} must be a number, got {describe_value(value)}") from None


def _margins(margin: float | Mapping[str, float], names: list[str]) -> dict[str, float]:
    if not isinstance(margin, Mapping):
        return dict.fromkeys(names, _number(margin, "margin"))
    if set(margin) != set(names):
        raise UsageError(f"margin names {sorted(margin)}, but the metrics are {sorted(names)}")
    return {name: _number(margin[name], f"margin[{name!r}]") for name in names}


def _describe(name: str, result: Equivalence, paired: bool) -> str:
    kind = "paired runs" if paired else "runs"
    counts = str(result.runs[0]) if paired else f"{result.runs[0]} and {result.runs[1]}"
    text = (
        f"  {name}: difference of means {result.difference:+.3g}, {1 - 2 * result.alpha:.0%} interval"
        f" {result.low:+.3g} to {result.high:+.3g}, margin {result.margin:g}"
        f" ({counts} {kind}, TOST p={result.p_value:.2g})"
    )
    if abs(result.difference) >= result.margin:
        return f"{text}; the difference itself exceeds the margin"
    if result.runs_needed is None:
        return f"{text}; the spread is too large: {MAX_RUNS:,} runs per side would not be enough for this margin"
    return f"{text}; with this spread, about {result.runs_needed} runs per side would show it with 80 % probability"
