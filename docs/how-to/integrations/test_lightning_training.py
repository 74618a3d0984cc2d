import lightning.pytorch as pl
import pytest
import torch

from pytest_repro.integrations.lightning import ReproCallback


class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return torch.nn.functional.mse_loss(self.layer(inputs), targets)

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("validation_loss", torch.nn.functional.mse_loss(self.layer(inputs), targets))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_loader(shuffle):
    inputs = torch.randn(64, 3)
    data = torch.utils.data.TensorDataset(inputs, inputs.sum(dim=1, keepdim=True))
    return torch.utils.data.DataLoader(data, batch_size=16, shuffle=shuffle)


@pytest.mark.reproducible
def test_training(repro):
    pl.seed_everything(repro.seed, verbose=False)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ReproCallback(repro)],
    )
    trainer.fit(Regression(), make_loader(shuffle=True), make_loader(shuffle=False))
