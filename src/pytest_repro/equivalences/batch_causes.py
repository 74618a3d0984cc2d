"""Why a prediction depends on its batch: kernels, statistics, padding and random numbers told apart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_repro.equivalences.findings import Deviation, Explanation, Trial
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance


@dataclass(frozen=True, slots=True)
class Probe:
    """One sample among other companions, in the same place of a batch of the same size.

    Attributes
    ----------
    repadded : bool
        Whether the longest sample of the batch has another length with the other companions.
    """

    trial: Trial
    repadded: bool


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """What was seen while predicting.

    Attributes
    ----------
    loses_rows : bool
        Whether a smaller batch did not give one prediction for each sample.
    """

    draws_random_numbers: bool
    predict: Callable[[Any], Any]
    probes: tuple[Probe, ...]
    loses_rows: bool = False


def explain_batch(deviations: Sequence[Deviation], seen: BatchEvidence) -> Explanation:
    """Name the cause by what matters: the companions' values, the padding, or only size and position.

    Notes
    -----
    At one size and position every row of a product or convolution goes through the same instructions whatever the
    other rows hold. So a prediction that changes with its companions' values uses them; one that does not, but
    changes with size or position, is computed by another kernel, or by the tail of one.
    """
    statistics, random = _find_training_layers(seen.predict)
    differing = {id(deviation.trial) for deviation in deviations}
    if seen.draws_random_numbers:
        layers = (f"in training mode: {', '.join(random)}",) if random else ()
        return Explanation(
            "batch.random: predicting draws random numbers, and how many depends on the batch",
            ("the generators' states differ before and after predict()", *layers),
            "switch dropout and sampling off: model.eval(); or draw from a generator of each sample's own",
        )
    if seen.loses_rows:
        return Explanation(
            "batch.rows: not every sample of a smaller batch gets a prediction of its own",
            tuple(f"{d.varied}: {d.trial.failure}" for d in deviations if d.trial.failure)[:1],
            "predict the last partial batch too (drop_last=False), and keep the axis of a batch of one (no squeeze())",
        )
    changed = [probe for probe in seen.probes if id(probe.trial) in differing]
    padded = [deviation for deviation in deviations if deviation.varied.startswith("padded by")]
    if changed and not all(probe.repadded for probe in changed):
        return _explain_statistics(deviations, statistics, changed)
    if changed or padded:
        return _explain_padding(deviations, seen, changed)
    if any(deviation.trial.failure for deviation in deviations) and not seen.probes:
        return Explanation("", ("too few samples to exchange companions",), "give at least 3 samples")
    return _explain_kernels(deviations, seen)


def _find_training_layers(predict: Callable[[Any], Any]) -> tuple[list[str], list[str]]:
    if "torch" not in sys.modules:
        return [], []
    from pytest_repro.frameworks.torch_functions import name_training_layers

    return name_training_layers(predict)


def _explain_statistics(deviations: Sequence[Deviation], layers: list[str], changed: list[Probe]) -> Explanation:
    by_companions = _deviations_of(deviations, changed)
    distance = tell_distance(by_companions[0].comparison)
    evidence = [f"same size, same position, {by_companions[0].varied}: {distance}"]
    evidence += [f"the batch's own statistics are used by {', '.join(layers)}"] if layers else []
    fix = "model.eval() before predicting" if layers else "use statistics fixed in training, not the batch's own"
    return Explanation("batch.statistics: a prediction uses the values of the other samples", tuple(evidence), fix)


def _explain_padding(deviations: Sequence[Deviation], seen: BatchEvidence, changed: list[Probe]) -> Explanation:
    evidence = []
    if changed:
        first = _deviations_of(deviations, changed)[0]
        evidence.append(f"{first.varied}, of which the longest has another length: {tell_distance(first.comparison)}")
    unpadded = [probe for probe in seen.probes if not probe.repadded]
    if changed and unpadded:
        evidence.append(f"{unpadded[0].trial.varied}, with the same longest length: identical or as allowed")
    evidence += [f"{d.varied}: {tell_distance(d.comparison)}" for d in deviations if d.varied.startswith("padded by")][
        :2
    ]
    return Explanation(
        "batch.padding: a prediction depends on how far its batch is padded",
        tuple(evidence),
        "mask the padding wherever values are summed, averaged, normalised or attended to; divide by the true length",
    )


def _explain_kernels(deviations: Sequence[Deviation], seen: BatchEvidence) -> Explanation:
    shown = next((d for d in deviations if not d.trial.failure), deviations[0])
    evidence = [f"{shown.varied}: {tell_distance(shown.comparison)}"]
    if seen.probes:
        evidence.append("same size, same position, other companions: identical or as allowed")
    if all(is_rounding(d.comparison) for d in deviations):
        return Explanation(
            "batch.kernel: the library picks another kernel, or another part of it, for another size or position",
            tuple(evidence),
            "allow it (norm=1e-6 for float32), predict in batches of one fixed size, or row by row",
        )
    return Explanation(
        "batch.size: a prediction depends on the batch's size or the sample's position by more than rounding",
        tuple(evidence),
        "look for a sum or mean over the batch axis, for state kept between calls, for indices of positions, and for "
        "random numbers from a generator that is seeded anew for each batch",
    )


def _deviations_of(deviations: Sequence[Deviation], probes: Sequence[Probe]) -> list[Deviation]:
    wanted = {id(probe.trial) for probe in probes}
    return [deviation for deviation in deviations if id(deviation.trial) in wanted]
