"""Small models of several architectures, and their training on the device of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Recurrent(nn.Module):
    """An LSTM with a linear layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    """One transformer block with a linear layer on its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x).mean(1))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 4))


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )


#: Name -> (function that creates the model, shape of its input).
MODELS = {
    "mlp": (_mlp, (16, 32)),
    "cnn": (_cnn, (8, 3, 12, 12)),
    "lstm": (Recurrent, (8, 10, 16)),
    "block": (Block, (8, 10, 32)),
}


def train(
    repro: Any, name: str, *, dtype: torch.dtype = torch.float32, steps: int = 3, fault: float = 0.0
) -> dict[str, Any]:
    """Train a model from weights and data made on the CPU, with a relative error `fault` on all other devices.

    Plain gradient descent is used, because Adam divides by small gradients, which amplifies rounding errors.
    """
    make, shape = MODELS[name]
    model, x, target = repro.place(make().to(dtype), torch.randn(shape).to(dtype), torch.randn(shape[0], 4).to(dtype))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for i in range(steps):
        optimizer.zero_grad()
        predictions = model(x) * (1 + fault * (repro.device != "cpu"))
        loss = (predictions - target).square().mean()
        loss.backward()
        optimizer.step()
        repro.step(i, loss=loss)
    return {"predictions": model.eval()(x) * (1 + fault * (repro.device != "cpu"))}
