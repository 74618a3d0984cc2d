"""The callback in real trainers of Lightning, under both of its names."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from pytest_repro import Verdict, examine
from pytest_repro.errors import ReproWarning
from tests.integrations.helpers import begin

torch = pytest.importorskip("torch")
pl = pytest.importorskip("lightning.pytorch")
from pytest_repro.integrations.lightning import ReproCallback

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec")


class Model(pl.LightningModule):
    def __init__(self, gives_loss=True):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.automatic_optimization = self.gives_loss = gives_loss

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch[0]).square().mean()
        if self.gives_loss:
            return loss
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return None

    def validation_step(self, batch, batch_idx):
        self.log("score", self.layer(batch[0]).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def loader(length=8, generator=None):
    rows = torch.arange(length * 3.0).reshape(length, 3) / 10
    data = torch.utils.data.TensorDataset(rows)
    return torch.utils.data.DataLoader(data, batch_size=2, shuffle=length > 0, generator=generator)


def fit(callback, model=None, loaders=None, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[callback], enable_model_summary=False, **quiet, **{"max_epochs": 1, **options}
    )
    trainer.fit(model or Model(), *(loaders or [loader()]))


def names(run):
    return set(run.artifacts.leaves)


def test_it_captures_losses_weights_and_metrics():
    repro, run = begin()
    fit(ReproCallback(repro), loaders=[loader(), loader()], max_epochs=2)
    found = names(run)
    assert {f"step/{number}/loss" for number in range(8)} <= found
    assert {"weights/layer.weight", "weights/layer.bias", "validation/0/score", "validation/1/score"} <= found
    assert {"metrics/score"} <= found
    assert not any(path.startswith(("optimizers", "step/8", "validation/2")) for path in found)


def test_it_captures_optimizers_and_weights_on_request():
    repro, run = begin()
    fit(ReproCallback(repro, name="first", weights_every_n_steps=2, optimizers=True))
    found = names(run)
    assert {"step/1/first/weights/layer.weight", "step/3/first/loss", "first/weights/layer.weight"} <= found
    assert any(path.startswith("first/optimizers/0/") and path.endswith("momentum_buffer") for path in found)


def test_a_training_is_identical_when_it_is_repeated():
    found = examine(lambda repro: fit(ReproCallback(repro)))
    assert found.verdict is Verdict.IDENTICAL
    assert found.to_json()["compared"]["artifacts"] >= 6


def test_an_order_of_the_data_that_no_seed_reaches_is_found_in_the_first_losses():
    generator = torch.Generator()
    generator.seed()
    found = examine(lambda repro: fit(ReproCallback(repro), loaders=[loader(generator=generator)]))
    assert found.verdict is Verdict.DIVERGED
    assert "step/0/loss" in found.message


def test_another_seed_of_lightning_is_reported():
    repro, _ = begin(seed=7)
    pl.seed_everything(42, verbose=False)
    with pytest.warns(ReproWarning, match=r"Lightning's seed_everything\(42\) replaced the test's seed 7 by 42"):
        fit(ReproCallback(repro))


def test_another_seed_of_torch_is_reported():
    repro, _ = begin(seed=7)
    torch.manual_seed(3)
    with pytest.warns(ReproWarning, match=r"torch.manual_seed\(3\) replaced"):
        fit(ReproCallback(repro))


def test_the_seed_of_an_earlier_test_that_lightning_left_in_the_environment_is_not(monkeypatch):
    repro, _ = begin(seed=7)
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReproWarning)
        fit(ReproCallback(repro))


def test_the_run_s_own_seed_given_to_lightning_is_right():
    repro, _ = begin(seed=7)
    pl.seed_everything(repro.seed, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReproWarning)
        fit(ReproCallback(repro))


def test_a_training_without_steps_is_reported():
    repro, run = begin()
    with pytest.warns(ReproWarning, match="made no training step"):
        fit(ReproCallback(repro), max_epochs=0)
    assert "weights/layer.weight" in names(run)


def test_a_step_without_a_loss_is_reported():
    repro, run = begin()
    with pytest.warns(ReproWarning, match="no training step gave a loss"):
        fit(ReproCallback(repro), Model(gives_loss=False))
    assert not any(path.startswith("step/") for path in names(run))


@pytest.mark.parametrize("first", ["lightning.pytorch", "pytorch_lightning"])
def test_the_callback_is_one_of_the_package_that_the_user_imported(first):
    pytest.importorskip(first)
    code = f"""
import {first}
from pytest_repro.integrations.lightning import ReproCallback
print(issubclass(ReproCallback, {first}.Callback))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "True\n"
