"""Lost parts of torch checkpoints, among decoys: optimizers, schedulers, averages, generators, modes, loaders."""

from __future__ import annotations

import re
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from pytest_repro import DivergenceError, assert_batch_invariant, assert_compile_equivalent, assert_resume_equivalent
from tests.plugin.helpers import unwrap
from tests.unit.equivalences.torch_checkpoints import TorchKitchen, WithLoader, X, drop_and_log, log_and_round

CODES = {
    "opt": "optimizer",
    "sched": "scheduler",
    "scaler": "scaler",
    "ema": "ema",
    "gen": "torch_rng",
    "torch": "torch_rng",
    "norm": "norm",
    "mode": "mode",
    "order_gen": "data_order",
    "model": "weights",
}
#: Lost in every case. Nothing depends on them, unless they are the case.
DECOYS = "side gen torch order_gen sched scaler"


def causes_of(error: DivergenceError) -> set[str]:
    found = re.search(r"^  cause +(.*?): ", str(error), re.MULTILINE)
    return set(found[1].split(", ")) if found else set()


def test_every_part_has_a_case():
    assert CODES.keys() == set(TorchKitchen.PARTS)


@pytest.mark.parametrize("part", TorchKitchen.PARTS)
def test_a_lost_part_is_named_and_no_decoy(part):
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(TorchKitchen, f"{part} {DECOYS}", part), steps=6, process="same")
    assert causes_of(caught.value) == {f"resume.{CODES[part]}"}


def test_several_lost_parts_are_named_in_new_interpreters():
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(TorchKitchen, "opt norm gen torch side", "opt norm gen"), steps=5, resume_at=3)
    assert causes_of(caught.value) == {"resume.optimizer", "resume.norm", "resume.torch_rng"}


@pytest.mark.parametrize("used", ["", " ".join(TorchKitchen.PARTS)])
def test_a_complete_checkpoint_passes(used):
    assert assert_resume_equivalent(partial(TorchKitchen, "", used), steps=6, process="same").verdict == "identical"


@pytest.mark.parametrize("inner", [False, True], ids=["attribute", "inside the loader"])
def test_the_generator_of_a_loader_is_the_order_of_the_data(inner):
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(WithLoader, "generator torch", inner), steps=7, process="same")
    assert causes_of(caught.value) == {"resume.data_order"}


def test_an_optimizer_is_named_next_to_a_loader_that_was_restored():
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(WithLoader, "opt torch"), steps=7, process="same")
    assert causes_of(caught.value) == {"resume.optimizer"}


def test_random_numbers_are_the_cause_of_compiled_code_only_if_the_result_depends_on_them():
    with pytest.raises(DivergenceError) as caught:
        assert_compile_equivalent(log_and_round, WithLoader().loader.dataset.tensors[0], backends="torch.compile:eager")
    assert causes_of(caught.value) == {"compile.semantics"}
    with pytest.raises(DivergenceError) as caught:
        assert_compile_equivalent(drop_and_log, WithLoader().loader.dataset.tensors[0], backends="torch.compile:eager")
    assert causes_of(caught.value) == {"compile.semantics"}
    assert "with the random numbers of eager mode (fallback_random) too" in str(caught.value)


class Centred(torch.nn.Module):
    """Subtracts the mean of its batch. It also has a layer with batch statistics, whose output it drops."""

    def __init__(self, uses_layer):
        super().__init__()
        self.layer, self.uses_layer = torch.nn.BatchNorm1d(4), uses_layer

    def forward(self, x):
        y = self.layer(x)
        return y if self.uses_layer else x - x.mean(0)


def test_layers_in_training_mode_are_named_only_if_eval_mode_removes_the_difference():
    for uses_layer, fix in ((True, "model.eval() before predicting"), (False, "use statistics fixed in training")):
        with torch.no_grad(), pytest.raises(DivergenceError) as caught:
            assert_batch_invariant(Centred(uses_layer), X[:9])
        assert causes_of(caught.value) == {"batch.statistics"}
        assert f"fix       {fix}" in str(caught.value)
        assert ("the batch's own statistics are used by layer" in unwrap(str(caught.value))) == uses_layer
