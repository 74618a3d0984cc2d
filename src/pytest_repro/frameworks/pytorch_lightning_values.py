"""Lightning's modules and trainers under the package's earlier name."""

from __future__ import annotations

import pytorch_lightning

from pytest_repro.frameworks.base_values import Handler
from pytest_repro.frameworks.lightning_modules import capture_lightning, refuse_trainer

HANDLERS: dict[type, Handler] = {
    pytorch_lightning.LightningModule: capture_lightning,
    pytorch_lightning.Trainer: refuse_trainer,
}

#: Types whose handler reads every attribute of a subclass too.
COMPLETE: tuple[type, ...] = (pytorch_lightning.LightningModule,)
