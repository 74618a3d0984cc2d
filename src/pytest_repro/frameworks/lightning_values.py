"""Lightning's modules and trainers."""

from __future__ import annotations

from lightning import pytorch

from pytest_repro.frameworks.base_values import Handler
from pytest_repro.frameworks.lightning_modules import capture_lightning, refuse_trainer

HANDLERS: dict[type, Handler] = {
    pytorch.LightningModule: capture_lightning,
    pytorch.Trainer: refuse_trainer,
}

#: Types whose handler reads every attribute of a subclass too.
COMPLETE: tuple[type, ...] = (pytorch.LightningModule,)
