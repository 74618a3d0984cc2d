"""Small models of each kind, and a training of them, on whatever device a run is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Recurrent(nn.Module):
    """An LSTM whose last state is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    """One transformer block, its mean read out."""

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


#: Name -> how to make it, and the shape of its input.
MODELS = {
    "mlp": (_mlp, (16, 32)),
    "cnn": (_cnn, (8, 3, 12, 12)),
    "lstm": (Recurrent, (8, 10, 16)),
    "block": (Block, (8, 10, 32)),
}


def train(
    repro: Any, name: str, *, dtype: torch.dtype = torch.float32, steps: int = 3, fault: float = 0.0
) -> dict[str, Any]:
    """Train a model from weights and data made on the CPU; `fault` is a relative error of every other device's output.

    Plain gradient descent: Adam divides by small gradients, which magnifies rounding where they have no effect.
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
