"""assert_batch_invariant: a sample's prediction does not depend on the batch that it comes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_repro import seeding
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.batch_causes import BatchEvidence, Probe, explain_batch
from pytest_repro.equivalences.findings import Equivalence, Inquiry, Trial, check_callable, check_counts
from pytest_repro.equivalences.generators import digest_generators
from pytest_repro.equivalences.rows import Gathered, RowsError, count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_batch_invariant"
#: Samples whose companions are exchanged; each costs one prediction of a whole batch.
_PROBED = 5


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
    """Assert that each sample's prediction is the same alone, in a batch, at another position, among others, padded.

    Parameters
    ----------
    predict : callable (batch) -> tree of arrays
        The first axis of everything it returns is the batch; or a list with one result for each sample.
    samples : array, tensor, frame, list of samples, or dict or tuple of arrays
        A batch is of the same kind. A list may hold sequences of different lengths, which `predict` pads.
    batch_sizes : sequence of int, optional
        Sizes into which the samples are cut; by default 1, 2, 3 and 8. All samples in one batch are the baseline.
    positions : bool
        Reverse the order within the batch.
    companions : bool
        Exchange all other samples of a batch, leaving size and position.
    pad : callable (batch, amount) -> batch, optional
        Adds padding that must not matter, for example ``lambda b, n: F.pad(b, (0, n))``.
    padding : sequence of int
        Amounts given to `pad`.
    seed : int
        Seeds all generators before each prediction.
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message tells kernels (sizes and positions matter), statistics (companions matter), padding and random
        numbers apart.
    InconclusiveError
        If one and the same batch gives different predictions, or nothing was compared.
    UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "predict", predict)
    count = count_rows(_NAME, "samples", samples)
    if count < 2:
        raise UsageError(f"{_NAME}: {count} samples make no two different batches; give at least 2")
    given = (1, 2, 3, 8) if batch_sizes is None else check_counts(_NAME, "batch_sizes", batch_sizes)
    sizes = [size for size in given if size < count]
    state = seeding.save_state()
    try:
        lab = _Lab(predict, samples, seed)
        everything = list(range(count))
        baseline = Trial(f"all {count} in one batch", lab.gather([everything]))
        inquiry.require_stable(
            baseline.artifacts,
            lab.gather([everything]),
            "predict(batch)",
            "take out what the last call left behind: a cache, running statistics, a generator of its own",
        )
        trials = [lab.try_size(size, everything) for size in sizes]
        if positions:
            trials.append(Trial("positions reversed", lab.gather([everything[::-1]])))
        probes: list[Probe] = []
        try:
            probes = _probe_companions(lab, everything) if companions else []
        except RowsError as error:
            trials.append(lab.lose_rows(f"batches of {_half(count)}", error))
        trials += [probe.trial for probe in probes]
        if pad is not None:
            check_callable(_NAME, "pad", pad)
            amounts = check_counts(_NAME, "padding", padding)
            trials += [Trial(f"padded by {n}", lab.gather([everything], _padded_by(pad, n))) for n in amounts]
        evidence = BatchEvidence(lab.draws_random_numbers, predict, tuple(probes), lab.loses_rows)
        return inquiry.conclude(baseline, trials, lambda deviations: explain_batch(deviations, evidence))
    finally:
        seeding.restore_state(state)


def _padded_by(pad: Callable[[Any, int], Any], amount: int) -> Callable[[Any], Any]:
    return lambda batch: pad(batch, amount)


class _Lab:
    """Predicts batches, seeded alike, and watches whether predicting draws random numbers."""

    def __init__(self, predict: Callable[[Any], Any], samples: Any, seed: int) -> None:
        self._predict = predict
        self._samples = samples
        self._seed = seed
        self.draws_random_numbers = False
        self.loses_rows = False

    def predict(self, indices: Sequence[int], change: Callable[[Any], Any] | None = None) -> Any:
        """Predict one batch."""
        batch = pick_rows(self._samples, indices)
        seeding.seed_everything(self._seed)
        before = digest_generators()
        result = self._predict(batch if change is None else change(batch))
        self.draws_random_numbers |= digest_generators() != before
        return result

    def gather(self, batches: Sequence[Sequence[int]], change: Callable[[Any], Any] | None = None) -> Artifacts:
        """Predict batches, and return the predictions in the samples' order."""
        gathered = Gathered(_NAME)
        for indices in batches:
            gathered.add(self.predict(indices, change), indices)
        return gathered.artifacts()

    def gather_one(self, indices: Sequence[int], sample: int) -> Artifacts:
        """Predict one batch, and return the prediction of one of its samples alone."""
        gathered = Gathered(_NAME)
        gathered.add(self.predict(indices), indices)
        return gathered.artifacts(only=sample)

    def lose_rows(self, varied: str, error: RowsError) -> Trial:
        """Note that a batch did not give one prediction for each sample, where that of all samples did."""
        self.loses_rows = True
        return Trial(varied, Artifacts(), str(error).partition(": ")[2])

    def try_size(self, size: int, everything: Sequence[int]) -> Trial:
        """Predict in batches of one size; a prediction that only a smaller batch makes fail depends on the batch."""
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
        """Return the lengths of samples that differ in length; None where they do not."""
        if not isinstance(self._samples, list):
            return None
        try:
            found = [len(sample) for sample in self._samples]
        except TypeError:
            return None
        return found if len(set(found)) > 1 else None


def _half(count: int) -> int:
    """Return the size of two batches that share one sample and no other."""
    return 1 + (count - 1) // 2


def _probe_companions(lab: _Lab, everything: Sequence[int]) -> list[Probe]:
    """Keep one sample in its place and exchange all its companions, at one size of batch."""
    count, lengths = len(everything), lab.lengths()
    if count < 3:
        return []
    half = _half(count)
    chosen = {(k * (count - 1)) // (_PROBED - 1) for k in range(_PROBED)}
    if lengths is not None:
        chosen.add(max(everything, key=lambda i: lengths[i]))  # the one that no companion can pad
    probes = []
    for number, sample in enumerate(sorted(chosen)):
        others = [i for i in everything if i != sample]
        if lengths is not None:
            others.sort(key=lambda i: lengths[i])
        # First, last and in the middle in turn: a sum that runs through the batch never reaches the first sample.
        place = (0, half - 1, half // 2)[number % 3]
        few, many = ([*o[:place], sample, *o[place:]] for o in (others[: half - 1], others[1 - half :]))
        given, expected = lab.gather_one(many, sample), lab.gather_one(few, sample)
        trial = Trial(f"other companions of sample {sample}", given, expected=expected)
        repadded = lengths is not None and max(lengths[i] for i in few) != max(lengths[i] for i in many)
        probes.append(Probe(trial, repadded))
    return probes
