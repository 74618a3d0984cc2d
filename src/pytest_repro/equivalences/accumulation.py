"""assert_accumulation_equivalent: a batch in parts gives the step that the whole batch gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.findings import (
    Deviation,
    Equivalence,
    Explanation,
    Inquiry,
    Trial,
    check_callable,
    check_counts,
)
from pytest_repro.equivalences.magnitude import find_factor, find_whole_factor, is_rounding, tell_distance
from pytest_repro.equivalences.rows import count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_accumulation_equivalent"


def assert_accumulation_equivalent(
    step: Callable[[list[Any]], Any],
    batch: Any,
    *,
    parts: Sequence[int] | None = None,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that one optimizer step over a batch is the same however the batch is cut into micro-batches.

    Parameters
    ----------
    step : callable (list of micro-batches) -> tree
        Starts from the same model each time, accumulates over the micro-batches, and returns the gradients, or the
        weights after the optimizer's step.
    batch : array, tensor, list, or dict or tuple of arrays
        Micro-batches are of the same kind.
    parts : sequence of int, optional
        Into how many parts it is cut; by default 2, 3 and 4. A number that does not divide the batch shows a mean of
        means.
    seed : int
        Seeds all generators before each step.
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default, which only exact arithmetic passes: float32 needs ``norm=1e-6`` or so.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message names a missing division, gradients zeroed between parts, a mean of unequal parts, or rounding.
    InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "step", step)
    count = count_rows(_NAME, "batch", batch)
    given = (2, 3, 4) if parts is None else check_counts(_NAME, "parts", parts, least=2)
    numbers = [number for number in given if number <= count]
    if not numbers:
        raise UsageError(f"{_NAME}: a batch of {count} cannot be cut into {given[0]} parts")

    def run(pieces: list[list[int]]) -> Artifacts:
        seeding.seed_everything(seed)
        return capture_tree(step([pick_rows(batch, piece) for piece in pieces]))

    whole = [list(range(count))]
    state = seeding.save_state()
    try:
        baseline = Trial("the whole batch", run(whole))
        inquiry.require_stable(
            baseline.artifacts, run(whole), "the step over one whole batch", "let step() start from the same model"
        )
        cuts = {f"{number} parts": _cut(count, number) for number in numbers}
        trials = [Trial(varied, run(pieces)) for varied, pieces in cuts.items()]
        # Built only where something differs: what the last part alone gives shows gradients zeroed too often.
        return inquiry.conclude(
            baseline, trials, lambda found: _explain(found, baseline.artifacts, cuts, lambda p: run([p[-1]]))
        )
    finally:
        seeding.restore_state(state)


def _cut(count: int, parts: int) -> list[list[int]]:
    """Cut into parts of one size, the last one smaller, as a loader does."""
    size = -(-count // parts)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _explain(
    deviations: Sequence[Deviation],
    whole: Artifacts,
    cuts: dict[str, list[list[int]]],
    run_last: Callable[[list[list[int]]], Artifacts],
) -> Explanation:
    shown = deviations[0]
    pieces = cuts[shown.varied]
    distance = f"{shown.varied}: {tell_distance(shown.comparison)}"
    if all(is_rounding(deviation.comparison) for deviation in deviations):
        return Explanation(
            "accumulation.rounding: sums over parts round differently",
            (f"{distance}, no more than reordered sums explain",),
            "allow it (norm=1e-6 for float32), or accumulate in float64",
        )
    factor = find_whole_factor(shown.trial.artifacts, whole)
    last = find_factor(shown.trial.artifacts, run_last(pieces)) if factor is None else None
    if last is not None:
        return Explanation(
            "accumulation.zeroed: only the last part counts",
            (f"{shown.varied} give {last:.4g} times what the last part alone gives, in each artifact",),
            "zero the gradients once before the first part, not before each",
        )
    if factor is not None:
        return Explanation(
            f"accumulation.scale: the result is {factor:.4g} times the whole batch's",
            (f"{shown.varied}, each artifact by the same factor",),
            "divide each part's loss by the number of parts, once; or by the whole batch's number of samples or tokens",
        )
    unequal = [d for d in deviations if len({len(piece) for piece in cuts[d.varied]}) > 1]
    if len(unequal) == len(deviations) < len(cuts):
        return Explanation(
            "accumulation.unequal: parts of unequal size count alike",
            (f"only cuts with a smaller last part differ; {distance}",),
            "weight each part's mean loss by its size over the batch's: a mean of means is no mean",
        )
    return Explanation(
        "accumulation.other: the parts do not add up to the batch, by more than rounding and by no one factor",
        (distance,),
        "look for BatchNorm in training mode, dropout, clipping or an optimizer step for each part, and losses that do "
        "not average over samples",
    )
