"""assert_accumulation_equivalent: a step over micro-batches is the same as over the whole batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_counts
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation
from pytest_repro.equivalences.magnitude import FittedWeights, find_factor, fit_weights
from pytest_repro.equivalences.rows import count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_accumulation_equivalent"

#: Distance from 1 of a factor that is another than 1.
_SAME_FACTOR = 0.01
#: Indices of the samples in each part.
_Parts = list[list[int]]


@judged
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

    Examples
    --------
    >>> import numpy as np
    >>> def step(parts):  # the mean gradient, weighted by the rows of each part
    ...     return sum(part.sum(axis=0) for part in parts) / sum(len(part) for part in parts)
    >>> print(assert_accumulation_equivalent(step, np.arange(24.0).reshape(12, 2), norm=1e-12).verdict)
    identical
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
        # Parts alone are computed only after a difference.
        lambda deviations: _explain(deviations, cuts, batch, compute),
        what="the step over one whole batch",
        fix="let step() start from the same model",
    )


def _cut(count: int, parts: int) -> _Parts:
    """Cut into parts of one size and a smaller last part, as a loader does."""
    size = -(-count // parts)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _explain(
    deviations: Sequence[Deviation], cuts: Mapping[str, _Parts], batch: Any, compute: Callable[[_Parts], Artifacts]
) -> Explanation:
    shown = deviations[0]
    distance = shown.describe()
    if all(deviation.is_rounding for deviation in deviations):
        return Explanation.of("accumulation.rounding", distance)
    factor = find_factor(shown.trial.artifacts, shown.expected)
    factor = factor if factor is not None and abs(factor - 1) > _SAME_FACTOR else None
    pieces = cuts[shown.varied]
    alone = [compute([piece]) for piece in pieces] if factor is None else []
    last = find_factor(shown.trial.artifacts, alone[-1]) if alone else None
    if last is not None:
        evidence = f"{shown.varied} give {last:.4g} times the result of the last part alone, in each artifact"
        return Explanation.of("accumulation.zeroed", evidence)
    if factor is not None:
        meaning = f"the result is {factor:.4g} times the whole batch's"
        return Explanation.of(
            "accumulation.scale", f"{shown.varied}, each artifact by the same factor", meaning=meaning
        )
    fitted = fit_weights(shown.expected, shown.trial.artifacts, alone, [len(piece) for piece in pieces])
    if fitted is not None:
        return _explain_weights(shown, fitted, [pick_rows(batch, piece) for piece in pieces])
    other = Explanation.of("accumulation.other", distance)
    unequal = [d for d in deviations if len({len(piece) for piece in cuts[d.varied]}) > 1]
    if len(unequal) == len(deviations) < len(cuts):
        suspect = Explanation.of("accumulation.unequal", f"only cuts with a smaller last part differ; {distance}")
        return replace(suspect, cause=other.cause, suspected=suspect.cause)
    return other


def _explain_weights(shown: Deviation, fitted: FittedWeights, parts: Sequence[Any]) -> Explanation:
    """Name the weights of the parts that a step uses, and those that its loss requires."""
    given, required = (", ".join(f"{weight:.3g}" for weight in side) for side in (fitted.given, fitted.required))
    evidence = [
        f"{shown.varied}: the parts alone give this result with the weights {given}, "
        f"and the whole batch's with {required}"
    ]
    if fitted.requires_rows:
        return Explanation.of("accumulation.unequal", *evidence)
    if counts := _find_counts(parts, fitted.required):
        evidence.append(counts)
    is_equal = len(set(fitted.given)) == 1 and len({count_rows(_NAME, "part", part) for part in parts}) > 1
    meaning = "each part has the same weight; its loss averages over another count, such as tokens" if is_equal else ""
    return Explanation.of("accumulation.weights", *evidence, meaning=meaning)


def _find_counts(parts: Sequence[Any], weights: Sequence[float]) -> str:
    """Return which count of values in the parts has the ratio of the weights, such as that of the tokens."""
    tables = [dict(_count_values(part)) for part in parts]
    for name in tables[0]:
        counts = [table.get(name, 0) for table in tables]
        total = sum(counts)
        if total and all(abs(count / total - weight) < 1e-3 for count, weight in zip(counts, weights, strict=True)):
            return f"the latter have the ratio of {name}: {', '.join(map(str, counts))}"
    return ""


def _count_values(part: Any, name: str = "the batch") -> Iterator[tuple[str, int]]:
    if isinstance(part, (Mapping, tuple)):
        items = part.items() if isinstance(part, Mapping) else enumerate(part)
        for key, value in items:
            label = f"`{key}`" if isinstance(part, Mapping) else f"item {key}"
            yield from _count_values(value, label if name == "the batch" else f"{label} of {name}")
    elif isinstance(part, list):
        yield f"the lengths in {name}", sum(len(value) for value in part if hasattr(value, "__len__"))
    else:
        with contextlib.suppress(Exception):  # a frame, or a tensor that NumPy cannot read
            values = np.asarray(part)
            yield f"values in {name} that are not 0", int(np.count_nonzero(values))
            yield f"values in {name} that are not -100", int(np.count_nonzero(values != -100))
            yield f"values in {name} that are at least 0", int(np.count_nonzero(values >= 0))
            yield f"the sums of {name}", int(values.sum())
