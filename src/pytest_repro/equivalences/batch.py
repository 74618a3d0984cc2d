"""assert_batch_invariant: the prediction for a sample does not depend on its batch."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_repro import seeding
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_counts
from pytest_repro.equivalences.draws import explain_draws, note_draws
from pytest_repro.equivalences.experiment import (
    Deviation,
    Equivalence,
    Experiment,
    Explanation,
    Trial,
    restored_generators,
)
from pytest_repro.equivalences.magnitude import is_rounding
from pytest_repro.equivalences.rows import Gathered, RowsError, count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts, Verdict

_NAME = "assert_batch_invariant"
#: Number of samples whose companions are exchanged. Each costs two predictions of half a batch.
_PROBED = 5


@judged
def assert_batch_invariant(
    predict: Callable[[Any], Any],
    samples: Any,
    *,
    batch_sizes: Sequence[int] | None = None,
    positions: bool = True,
    companions: bool = True,
    pad: Callable[[Any, int], Any] | None = None,
    padding: Sequence[int] = (1, 7),
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that the prediction for each sample is the same alone, in any batch, at any position, and padded.

    Parameters
    ----------
    predict : callable (batch) -> tree of arrays
        The first axis of everything that it returns is the batch, or it returns a list with one result per sample.
    samples : array, tensor, frame, list of samples, or dict or tuple of arrays
        A batch has the same type. A list may contain sequences of different lengths, which `predict` pads.
    batch_sizes : sequence of int, optional
        Sizes of the batches, by default 1, 2, 3 and 8. All samples in one batch are the baseline.
    positions : bool
        Reverse the order within the batch.
    companions : bool
        Exchange all other samples of a batch, without a change of size and position.
    pad : callable (batch, amount) -> batch, optional
        Adds padding that must not matter, for example ``lambda b, n: F.pad(b, (0, n))``.
    padding : sequence of int
        Amounts passed to `pad`.
    seed : int
        Seeds all generators before each prediction.
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow, by default none.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message distinguishes kernels (size or position matters), statistics (companions matter), padding and
        random numbers.
    InconclusiveError
        If the baseline differs when it is repeated, or nothing was compared.
    UsageError

    Examples
    --------
    >>> import numpy as np
    >>> print(assert_batch_invariant(lambda batch: batch * 2.0, np.arange(10.0).reshape(5, 2)).verdict)
    identical
    >>> assert_batch_invariant(lambda batch: batch - batch.mean(axis=0), np.arange(10.0).reshape(5, 2))
    Traceback (most recent call last):
        ...
    pytest_repro.errors.DivergenceError: ...
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "predict", predict)
    count = count_rows(_NAME, "samples", samples)
    if count < 2:
        raise UsageError(f"{_NAME}: {count} samples make no two different batches; give at least 2")
    given = (1, 2, 3, 8) if batch_sizes is None else check_counts(_NAME, "batch_sizes", batch_sizes)
    everything = list(range(count))
    predictor = _Predictor(predict, samples, seed)
    with restored_generators():
        baseline = Trial(f"all {count} in one batch", predictor.gather([everything]))
        unstable = (
            "predict(batch)",
            "remove the state that a call leaves behind: a cache, running statistics, a generator of its own",
        )
        experiment.require_stable(baseline.artifacts, predictor.gather([everything]), *unstable)
        trials = [predictor.try_size(size, everything) for size in given if size < count]
        if positions:
            trials.append(Trial("positions reversed", predictor.gather([everything[::-1]])))
        probes: list[_Probe] = []
        if companions:
            try:
                probes = list(_probe_companions(predictor, everything))
            except RowsError as error:
                trials.append(predictor.lose_rows(f"batches of {_half(count)}", error))
        trials += [probe.trial for probe in probes]
        if pad is not None:
            check_callable(_NAME, "pad", pad)
            amounts = check_counts(_NAME, "padding", padding)
            trials += [Trial(f"padded by {n}", predictor.gather([everything], _pad_by(pad, n))) for n in amounts]

        def explain(deviations: Sequence[Deviation]) -> Explanation:
            experiment.require_stable(baseline.artifacts, predictor.gather([everything]), *unstable)
            predictor.depends_on_seed = not experiment.compare(
                predictor.gather([everything], other_seed=True), baseline.artifacts, exactly=True
            )
            return _explain(deviations, predictor, probes, experiment)

        return experiment.conclude(baseline, trials, explain)


def _pad_by(pad: Callable[[Any, int], Any], amount: int) -> Callable[[Any], Any]:
    return lambda batch: pad(batch, amount)


class _Predictor:
    """Predicts batches with one seed, and records whether that draws random numbers or loses samples."""

    def __init__(self, predict: Callable[[Any], Any], samples: Any, seed: int) -> None:
        self.predict = predict
        self._samples = samples
        self._seed = seed
        self.drawn: set[str] = set()
        self.loses_rows = False
        #: Whether another seed gives other predictions for the same batch.
        self.depends_on_seed = False

    def gather(
        self,
        batches: Sequence[Sequence[int]],
        change: Callable[[Any], Any] = lambda batch: batch,
        *,
        only: int | None = None,
        other_seed: bool = False,
    ) -> Artifacts:
        """Predict batches, and return the predictions in the order of the samples, or that of one sample."""
        gathered = Gathered(_NAME)
        for indices in batches:
            batch = pick_rows(self._samples, indices)
            seeding.seed_everything(self._seed + 1 if other_seed else self._seed)
            with note_draws(self.drawn):
                result = self.predict(change(batch))
            gathered.add(result, indices)
        return gathered.artifacts(only)

    def lose_rows(self, varied: str, error: RowsError) -> Trial:
        """Record that a smaller batch did not return one prediction for each sample, as the baseline did."""
        self.loses_rows = True
        return Trial(varied, Artifacts(), str(error).partition(": ")[2])

    def try_size(self, size: int, everything: Sequence[int]) -> Trial:
        """Predict in batches of one size. An error counts as a difference, since the baseline raised none."""
        varied = "each alone" if size == 1 else f"batches of {size}"
        batches = [everything[i : i + size] for i in range(0, len(everything), size)]
        try:
            return Trial(varied, self.gather(batches))
        except RowsError as error:
            return self.lose_rows(varied, error)
        except UsageError:
            raise
        except Exception as error:
            return Trial(varied, Artifacts(), f"{type(error).__name__}: {error}"[:300])

    def lengths(self) -> list[int] | None:
        """Return the lengths of the samples, or None if they do not differ in length."""
        if not isinstance(self._samples, list):
            return None
        try:
            found = [len(sample) for sample in self._samples]
        except TypeError:
            return None
        return found if len(set(found)) > 1 else None


@dataclass(frozen=True, slots=True)
class _Probe:
    """One sample with other companions, at the same position of a batch of the same size.

    Attributes
    ----------
    repadded : bool
        Whether the longest sample of the batch has another length with the other companions.
    predict : callable () -> (given, expected)
        Predicts both once more.
    """

    trial: Trial
    repadded: bool
    predict: Callable[[], tuple[Artifacts, Artifacts]]


def _half(count: int) -> int:
    """Return the size of two batches that share only one sample."""
    return 1 + (count - 1) // 2


def _probe_companions(predictor: _Predictor, everything: Sequence[int]) -> Iterator[_Probe]:
    """Exchange all companions of some samples, with the size of the batch and the position unchanged."""
    count, lengths = len(everything), predictor.lengths()
    if count < 3:
        return
    half = _half(count)
    chosen = {(k * (count - 1)) // (_PROBED - 1) for k in range(_PROBED)}
    if lengths is not None:
        chosen.add(max(everything, key=lambda i: lengths[i]))  # no companion makes this one be padded
    for number, sample in enumerate(sorted(chosen)):
        others = [i for i in everything if i != sample]
        if lengths is not None:
            others.sort(key=lambda i: lengths[i])
        # First, last and in the middle: a sum that runs through the batch never reaches the first sample.
        place = (0, half - 1, half // 2)[number % 3]
        few, many = ([*o[:place], sample, *o[place:]] for o in (others[: half - 1], others[1 - half :]))
        predict = functools.partial(_predict_both, predictor, many, few, sample)
        given, expected = predict()
        against = "the same sample with its first companions"
        trial = Trial(f"other companions of sample {sample}", given, expected=expected, against=against)
        is_repadded = lengths is not None and max(lengths[i] for i in few) != max(lengths[i] for i in many)
        yield _Probe(trial, is_repadded, predict)


def _predict_both(
    predictor: _Predictor, many: Sequence[int], few: Sequence[int], sample: int
) -> tuple[Artifacts, Artifacts]:
    return predictor.gather([many], only=sample), predictor.gather([few], only=sample)


def _explain(
    deviations: Sequence[Deviation], predictor: _Predictor, probes: Sequence[_Probe], experiment: Experiment
) -> Explanation:
    """Name the cause by what matters: the companions' values, the padding, or only size and position.

    Notes
    -----
    At one size and position every row of a product or convolution goes through the same instructions, whatever the
    other rows contain. A prediction that changes with its companions' values uses them. One that does not, but changes
    with size or position, is computed by another kernel, or by the tail of one.
    """
    statistics, random = _find_training_layers(predictor.predict)
    if predictor.drawn and predictor.depends_on_seed:
        layers = (f"in training mode: {', '.join(random)}",) if random else ()
        drawn = f"predict() draws from {', '.join(sorted(predictor.drawn))}"
        shown = f"{drawn}, and another seed gives other predictions for the same batch"
        places, fix = explain_draws(predictor.predict)
        return Explanation.of("batch.random", shown, *layers, *places, fix="" if layers else fix)
    if predictor.loses_rows:
        failures = [f"{d.varied}: {d.trial.failure}" for d in deviations if d.trial.failure]
        return Explanation.of("batch.rows", *failures[:1])
    by_trial = {id(deviation.trial): deviation for deviation in deviations}
    changed = [(probe, by_trial[id(probe.trial)]) for probe in probes if id(probe.trial) in by_trial]
    padded = [deviation for deviation in deviations if deviation.varied.startswith("padded by")]
    if not all(probe.repadded for probe, _ in changed):
        return _explain_statistics(*changed[0], statistics, predictor, experiment)
    if changed or padded:
        return _explain_padding([deviation for _, deviation in changed], padded, probes)
    if any(deviation.trial.failure for deviation in deviations) and not probes:
        return Explanation("", ("too few samples to exchange companions",), "give at least 3 samples")
    return _explain_kernels(deviations, probes)


def _find_training_layers(predict: Callable[[Any], Any]) -> tuple[list[str], list[str]]:
    if "torch" not in sys.modules:
        return [], []
    from pytest_repro.frameworks.torch_functions import name_training_layers

    return name_training_layers(predict)


def _explain_statistics(
    probe: _Probe, shown: Deviation, layers: list[str], predictor: _Predictor, experiment: Experiment
) -> Explanation:
    """Name the layers in training mode only if the companions change nothing in eval mode."""
    evidence = f"same size, same position, {shown.describe()}"
    if layers:
        from pytest_repro.frameworks.torch_functions import in_eval_mode

        with in_eval_mode(predictor.predict):
            again = experiment.compare(*probe.predict())
        if again.verdict is not Verdict.DIVERGED or is_rounding(again):
            held = f"in eval mode they change nothing; the batch's own statistics are used by {', '.join(layers)}"
            return Explanation.of("batch.statistics", evidence, held, fix="model.eval() before predicting")
    return Explanation.of("batch.statistics", evidence)


def _explain_padding(
    changed: Sequence[Deviation], padded: Sequence[Deviation], probes: Sequence[_Probe]
) -> Explanation:
    evidence = [f"{deviation.describe()} (the longest of them has another length)" for deviation in changed[:1]]
    unpadded = [probe for probe in probes if not probe.repadded]
    if changed and unpadded:
        evidence.append(f"{unpadded[0].trial.varied}, with the same longest length: identical or within the bounds")
    evidence += [deviation.describe() for deviation in padded[:2]]
    return Explanation.of("batch.padding", *evidence)


def _explain_kernels(deviations: Sequence[Deviation], probes: Sequence[_Probe]) -> Explanation:
    shown = next((d for d in deviations if not d.trial.failure), deviations[0])
    evidence = [shown.describe()]
    if probes:
        evidence.append("same size, same position, other companions: identical or within the bounds")
    return Explanation.by_magnitude(deviations, evidence=evidence, rounding="batch.kernel", other="batch.size")
