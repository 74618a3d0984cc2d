"""Planted faults of batches and of resuming: each is caught, named by its cause, and passes once repaired."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pytest_repro import DivergenceError, assert_batch_invariant, assert_resume_equivalent
from tests.quality.equivalence_loops import LOSSES, Loop


def causes(error: BaseException) -> list[str]:
    """Return the codes that a message names as the cause."""
    line = re.search(r"^  cause +(.*?): ", str(error), re.MULTILINE)
    return line[1].split(", ") if line else []


@pytest.mark.parametrize("lost", LOSSES)
def test_what_a_checkpoint_loses_is_named_and_nothing_else_is(lost):
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(Loop, lost), steps=8, process="same")
    assert causes(caught.value) == [f"resume.{lost}"]
    assert re.search(r"^  first +step \d: ", str(caught.value), re.MULTILINE)


def test_a_whole_checkpoint_resumes_to_the_bit_in_a_new_interpreter():
    shown = assert_resume_equivalent(partial(Loop, ""), steps=8)
    assert shown.verdict == "identical"
    assert shown.trials == ("resumed at step 3", "resumed at step 4")
    assert shown.notes == ()


def weights(loop: Loop) -> object:
    return loop.model


def test_a_lost_scheduler_that_one_stop_hides_shows_at_its_neighbour():
    # A period of 3, stopped after step 3: the count restarts where it would have decayed anyway.
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
def test_kernels_chosen_by_size_are_told_from_statistics(make, shape):
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
