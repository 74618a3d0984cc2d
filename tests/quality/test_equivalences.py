"""Planted faults of batches and of resuming: each is found and named, and its repaired twin passes."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pytest_repro import DivergenceError, assert_batch_invariant, assert_resume_equivalent
from tests.quality.equivalence_loops import LATER_LOSSES, LOSSES, LaterLoop, Loop


def causes(error: BaseException) -> list[str]:
    """Return the codes that a message names as the cause."""
    line = re.search(r"^  cause +(.*?): ", str(error), re.MULTILINE)
    return line[1].split(", ") if line else []


@pytest.mark.parametrize("lost", LOSSES)
def test_each_loss_of_a_checkpoint_is_named_and_no_other(lost):
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(Loop, lost), steps=8, process="same")
    assert causes(caught.value) == [f"resume.{lost}"]
    assert re.search(r"^  first +step \d: ", str(caught.value), re.MULTILINE)


@pytest.mark.parametrize("lost", LATER_LOSSES)
def test_each_loss_of_a_larger_training_is_named_and_no_other(lost):
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(LaterLoop, lost), steps=8, process="same")
    assert causes(caught.value) == [f"resume.{LATER_LOSSES[lost]}"]
    assert re.search(r"^  first +step \d: ", str(caught.value), re.MULTILINE)


def test_a_larger_training_that_loses_nothing_resumes_bit_for_bit():
    assert assert_resume_equivalent(partial(LaterLoop, ""), steps=8, process="same").verdict == "identical"


def test_a_mode_that_saving_changes_is_named_as_saving():
    with pytest.raises(DivergenceError, match=r"right after save\(\) at step 3: `model.mode`") as caught:
        assert_resume_equivalent(partial(LaterLoop, "save"), steps=8, process="same")
    assert causes(caught.value) == ["resume.save"]


@pytest.mark.parametrize(("lost", "cause"), [("gradients", "resume.gradients"), ("iterator", "resume.data_order")])
def test_a_loss_that_cannot_be_compared_is_named_by_restoring_it(lost, cause):
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(LaterLoop, lost), steps=8, process="same")
    assert causes(caught.value) == [cause]
    assert "restored, the training ends like the one without a stop" in " ".join(str(caught.value).split())


def test_a_loss_outside_the_compared_state_is_named_too():
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(Loop, "numpy_rng"), steps=8, process="same", state=weights)
    assert causes(caught.value) == ["resume.numpy_rng"]


def test_a_complete_checkpoint_resumes_bit_for_bit_in_a_new_interpreter():
    shown = assert_resume_equivalent(partial(Loop, ""), steps=8)
    assert shown.verdict == "identical"
    assert shown.trials == ("resumed at step 3", "resumed at step 4")
    # What a checkpoint does not hold is told, and the verdict stands.
    assert all("a checkpoint does not hold it" in note for note in shown.notes), shown.notes


def weights(loop: Loop) -> object:
    return loop.model


def test_a_lost_scheduler_that_one_stop_hides_shows_at_its_neighbour():
    # With a period of 3 and a stop after step 3, the count restarts at a decay, so nothing differs.
    hidden = partial(Loop, "scheduler", 3)
    compared = {"steps": 8, "state": weights, "process": "same"}
    assert assert_resume_equivalent(hidden, resume_at=3, **compared)
    with pytest.raises(DivergenceError, match="1 of 2 variants"):
        assert_resume_equivalent(hidden, **compared)


@pytest.fixture(scope="module", autouse=True)
def one_stream():
    state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(state)


def rows_of(module: object):
    return lambda batch: torch.cat([module(row[None]) for row in batch])


@pytest.mark.parametrize(
    ("make", "shape"),
    [(lambda: torch.nn.Linear(128, 10), (24, 128)), (lambda: torch.nn.Conv2d(3, 8, 3), (8, 3, 16, 16))],
    ids=["linear", "convolution"],
)
def test_kernels_chosen_by_size_are_not_called_statistics(make, shape):
    module, samples = make().eval(), torch.randn(shape)
    with torch.no_grad():
        alone = torch.cat([module(row[None]) for row in samples])
        if torch.equal(alone, module(samples)):
            pytest.skip("this machine's kernels do not depend on the size")
        with pytest.raises(DivergenceError) as caught:
            assert_batch_invariant(module, samples)
        assert assert_batch_invariant(module, samples, norm=1e-6).verdict == "within_tolerance"
        assert assert_batch_invariant(rows_of(module), samples).verdict == "identical"
    assert causes(caught.value) == ["batch.kernel"]
    assert "same size, same position, other companions: identical" in str(caught.value)


def test_batch_statistics_are_named_with_their_layer():
    module, samples = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8)), torch.randn(32, 8)
    with torch.no_grad():
        with pytest.raises(DivergenceError) as caught:
            assert_batch_invariant(module, samples, norm=1e-6)
        assert causes(caught.value) == ["batch.statistics"]
        assert "1 (BatchNorm1d)" in str(caught.value)
        module.eval()
        assert assert_batch_invariant(module, samples, norm=1e-6)


def mean_over_padded(batch, true_length: bool):
    longest = max(map(len, batch))
    return np.array([sample.sum() / (len(sample) if true_length else longest) for sample in batch])


def test_padding_to_the_longest_companion_is_named():
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(int(n)) for n in rng.integers(3, 12, 16)]
    with pytest.raises(DivergenceError) as caught:
        assert_batch_invariant(partial(mean_over_padded, true_length=False), samples)
    assert causes(caught.value) == ["batch.padding"]
    assert assert_batch_invariant(partial(mean_over_padded, true_length=True), samples).verdict == "identical"


def test_dropout_left_on_is_named():
    module, samples = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5)), torch.randn(16, 8)
    with torch.no_grad(), pytest.raises(DivergenceError) as caught:
        assert_batch_invariant(module, samples)
    assert causes(caught.value) == ["batch.random"]
    assert "1 (Dropout)" in str(caught.value)


def attend(batch, module, embedding, masks: bool):
    longest = max(map(len, batch))
    ids, padding = torch.zeros(len(batch), longest, dtype=torch.long), torch.ones(len(batch), longest, dtype=torch.bool)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)], padding[row, : len(tokens)] = torch.tensor(tokens), False
    x = embedding(ids)
    out = module(x, x, x, key_padding_mask=padding if masks else None, need_weights=False)[0]
    return torch.stack([out[row, : len(tokens)].mean(0) for row, tokens in enumerate(batch)])


def test_attention_to_padding_is_named_and_masked_attention_passes():
    tokens = [list(range(1, 1 + n)) for n in np.random.default_rng(0).integers(2, 9, 12).tolist()]
    module, embedding = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.nn.Embedding(12, 8)
    with torch.no_grad():
        with pytest.raises(DivergenceError) as caught:
            assert_batch_invariant(lambda b: attend(b, module, embedding, masks=False), tokens, norm=1e-6)
        assert causes(caught.value) == ["batch.padding"]
        assert assert_batch_invariant(lambda b: attend(b, module, embedding, masks=True), tokens, norm=1e-6)


def samples():
    """Return the same data, whatever was drawn earlier."""
    return torch.randn(24, 6, generator=torch.Generator().manual_seed(0))


def decode_all(batch):
    """Decode until the last sample is done, which changes those that are done earlier."""
    x, steps = batch.sum(1), 0
    while (x.abs() > 0.5).any() and steps < 50:
        x, steps = 0.7 * x, steps + 1
    return x


def scale_by_range(batch):
    """Quantize with one scale for the whole batch, as a dynamic range does."""
    scale = batch.abs().max() / 127
    return (batch / scale).round() * scale


@pytest.mark.parametrize(
    "predict",
    [decode_all, scale_by_range, lambda b: b.softmax(0), lambda b: b.cumsum(0), lambda b: b.flip(0).cumsum(0).flip(0)],
)
def test_a_prediction_that_uses_other_samples_is_named_statistics(predict):
    with pytest.raises(DivergenceError) as caught:
        assert_batch_invariant(predict, samples(), norm=1e-6)
    assert causes(caught.value) == ["batch.statistics"]


def drops_last(batch):
    return torch.cat([part.sum(1) for part in batch.split(4) if len(part) == 4])


@pytest.mark.parametrize(("predict", "size"), [(drops_last, 6), (lambda b: b.unsqueeze(1).squeeze(), 1)])
def test_samples_without_a_prediction_are_named(predict, size):
    with pytest.raises(DivergenceError) as caught:
        assert_batch_invariant(predict, samples(), norm=1e-6, batch_sizes=[size])
    assert causes(caught.value) == ["batch.rows"]


def test_a_partial_batch_that_is_dropped_from_half_of_the_samples_is_named():
    with pytest.raises(DivergenceError, match=r"(?s)raised +batches of 12: predict\s+returned\s.*\sdropped\?"):
        assert_batch_invariant(lambda b: b[: len(b) // 8 * 8].sum(1), samples(), batch_sizes=[8])
