"""A training loop with every kind of state, which can be told to lose any one of them when it is resumed."""

from __future__ import annotations

import json
import random

import numpy as np
import torch

LOSSES = [
    "optimizer",
    "scheduler",
    "torch_rng",
    "numpy_rng",
    "python_rng",
    "ema",
    "data_order",
    "half_checkpoint",
]


class Loop:
    """Adam, a step scheduler, dropout, noise from NumPy, a scale from `random`, averaged weights, a shuffled order."""

    def __init__(self, lost: str = "", period: int = 2) -> None:
        self.lost = lost
        torch.manual_seed(0)
        random.seed(0)
        layers = torch.nn
        self.model = layers.Sequential(layers.Linear(4, 8), layers.Tanh(), layers.Dropout(0.25), layers.Linear(8, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.02)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, period, 0.5)
        self.noise = np.random.default_rng(1)
        self.ema = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.order = list(range(6))
        generator = torch.Generator().manual_seed(3)
        self.data = torch.randn(30, 4, generator=generator)
        self.target = self.data.sum(1, keepdim=True).tanh()

    def step(self, i: int) -> torch.Tensor:
        if i % len(self.order) == 0:
            random.shuffle(self.order)
        start = 5 * self.order[i % len(self.order)]
        x, y = self.data[start : start + 5], self.target[start : start + 5]
        x = x * random.uniform(0.9, 1.1) + 0.1 * torch.from_numpy(self.noise.normal(size=x.shape)).float()
        self.optimizer.zero_grad()
        loss = (self.model(x) - y).square().mean()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        for name, p in self.model.named_parameters():
            self.ema[name] = 0.9 * self.ema[name] + 0.1 * p.detach()
        return loss.detach()

    def save(self, path) -> None:
        path.mkdir()
        half = self.lost == "half_checkpoint"
        weights = {name: p.half() if half else p for name, p in self.model.state_dict().items()}
        state = {
            "model": weights,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "ema": self.ema,
        }
        torch.save(state, path / "state.pt")
        rest = {"numpy": self.noise.bit_generator.state, "python": random.getstate(), "order": self.order}
        (path / "rest.json").write_text(json.dumps(rest))

    def load(self, path) -> None:
        state = torch.load(path / "state.pt", weights_only=True)
        rest = json.loads((path / "rest.json").read_text())
        self.model.load_state_dict(state["model"])
        if self.lost == "optimizer":
            self.optimizer.param_groups[0]["lr"] = state["optimizer"]["param_groups"][0]["lr"]
        else:
            self.optimizer.load_state_dict(state["optimizer"])
        if self.lost != "scheduler":
            self.scheduler.load_state_dict(state["scheduler"])
        if self.lost != "torch_rng":
            torch.set_rng_state(state["torch_rng"])
        if self.lost != "numpy_rng":
            self.noise.bit_generator.state = rest["numpy"]
        if self.lost != "python_rng":
            version, words, gauss = rest["python"]
            random.setstate((version, tuple(words), gauss))
        if self.lost != "ema":
            self.ema = state["ema"]
        if self.lost != "data_order":
            self.order = rest["order"]
