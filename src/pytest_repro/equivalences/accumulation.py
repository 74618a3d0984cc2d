"""assert_accumulation_equivalent: a step over micro-batches is the same as over the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_counts
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation
from pytest_repro.equivalences.magnitude import find_factor, find_integer_factor
from pytest_repro.equivalences.rows import count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_accumulation_equivalent"

#: Indices of the samples in each part.
_Parts = list[list[int]]


def assert_accumulation_equivalent(
    step: Callable[[list[Any]], Any],
    batch: Any,
    *,
    parts: Sequence[int] | None = None,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that one optimizer step over a batch does not depend on the cut into micro-batches.

    Parameters
    ----------
    step : callable (list of micro-batches) -> tree
        Starts from the same model each time, accumulates over the micro-batches, and returns the gradients, or the
        weights after the optimizer's step.
    batch : array, tensor, list, or dict or tuple of arrays
        Micro-batches have the same type.
    parts : sequence of int, optional
        Numbers of parts, by default 2, 3 and 4. A number that does not divide the batch reveals a mean of means.
    seed : int
        Seeds all generators before each step.
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow. The default of none is met by exact arithmetic only: float32 needs ``norm=1e-6`` or so.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message names a missing division, gradients zeroed between parts, a mean of unequal parts, or rounding.
    InconclusiveError
        If the step differs when it is repeated, or nothing was compared.
    UsageError
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "step", step)
    count = count_rows(_NAME, "batch", batch)
    given = (2, 3, 4) if parts is None else check_counts(_NAME, "parts", parts, least=2)
    numbers = [number for number in given if number <= count]
    if not numbers:
        raise UsageError(f"{_NAME}: a batch of {count} cannot be cut into {given[0]} parts")

    def compute(pieces: _Parts) -> Artifacts:
        seeding.seed_everything(seed)
        return capture_tree(step([pick_rows(batch, piece) for piece in pieces]))

    whole = [list(range(count))]
    cuts = {f"{number} parts": _cut(count, number) for number in numbers}
    return experiment.vary(
        compute,
        ("the whole batch", whole),
        cuts.items(),
        # The last part alone is computed only after a difference, to find gradients that are zeroed too often.
        lambda deviations: _explain(deviations, cuts, lambda pieces: compute([pieces[-1]])),
        what="the step over one whole batch",
        fix="let step() start from the same model",
    )


def _cut(count: int, parts: int) -> _Parts:
    """Cut into parts of one size and a smaller last part, as a loader does."""
    size = -(-count // parts)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _explain(
    deviations: Sequence[Deviation], cuts: Mapping[str, _Parts], compute_last: Callable[[_Parts], Artifacts]
) -> Explanation:
    shown = deviations[0]
    distance = shown.describe()
    if all(deviation.is_rounding for deviation in deviations):
        return Explanation.of("accumulation.rounding", distance)
    factor = find_integer_factor(shown.trial.artifacts, shown.expected)
    last = find_factor(shown.trial.artifacts, compute_last(cuts[shown.varied])) if factor is None else None
    if last is not None:
        evidence = f"{shown.varied} give {last:.4g} times the result of the last part alone, in each artifact"
        return Explanation.of("accumulation.zeroed", evidence)
    if factor is not None:
        meaning = f"the result is {factor:.4g} times the whole batch's"
        return Explanation.of(
            "accumulation.scale", f"{shown.varied}, each artifact by the same factor", meaning=meaning
        )
    unequal = [d for d in deviations if len({len(piece) for piece in cuts[d.varied]}) > 1]
    if len(unequal) == len(deviations) < len(cuts):
        return Explanation.of("accumulation.unequal", f"only cuts with a smaller last part differ; {distance}")
    return Explanation.of("accumulation.other", distance)
