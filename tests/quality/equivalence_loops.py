"""Training loops with every kind of state, each of which can be lost on purpose when the loop is resumed."""

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


#: Parts that `LaterLoop` can lose -> role that must be named.
LATER_LOSSES = {
    "statistics": "weights",
    "plateau": "scheduler",
    "averaged": "ema",
    "scaler": "scaler",
    "generator": "torch_rng",
    "sampler": "data_order",
    "cache": "cache",
    "warm_up": "warm_up",
    "frozen": "frozen",
    "mode": "mode",
}


class LaterLoop:
    """State of larger trainings: running statistics, a loss scale, a warm-up, layers frozen in between, a cache."""

    def __init__(self, lost: str = "") -> None:
        self.lost = lost
        torch.manual_seed(0)
        layers = torch.nn
        self.model = layers.Sequential(
            layers.Linear(4, 8), layers.BatchNorm1d(8), layers.Tanh(), layers.Dropout(0.25), layers.Linear(8, 1)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.02)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=0, factor=0.5)
        self.averaged = torch.optim.swa_utils.AveragedModel(self.model)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        self.generator = torch.Generator().manual_seed(5)
        self.sampler = {"epoch": 0, "position": 0}
        self.warm_up = 0
        self.cache = torch.zeros(4)
        data = torch.Generator().manual_seed(1)
        self.data = torch.randn(48, 4, generator=data)
        self.target = self.data.sum(1, keepdim=True)
        self.numbers = iter(range(1000)) if lost == "iterator" else None

    def step(self, i: int) -> torch.Tensor:
        if i == 1 and self.lost == "frozen":
            self.model[0].requires_grad_(False)
        if i == 1 and self.lost == "mode":
            self.model[3].eval()
        start = self.sampler["position"]
        self.sampler = {"epoch": self.sampler["epoch"], "position": (start + 6) % 48}
        x, y = self.data[start : start + 6], self.target[start : start + 6]
        x = x + 0.01 * torch.randn(x.shape, generator=self.generator) + 0.01 * self.cache
        x = x + 0.01 * (next(self.numbers) if self.numbers is not None else 0)
        self.cache = 0.9 * self.cache + x.mean(0)
        accumulates = self.lost == "gradients"
        if not accumulates or i % 2 == 0:
            self.optimizer.zero_grad()
        self.warm_up += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.02 * min(1.0, self.warm_up / 6)
        loss = (self.model(x) - y).square().mean()
        self.scaler.scale(loss).backward()
        if not accumulates or i % 2 == 1:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.plateau.step(loss.item())
        self.averaged.update_parameters(self.model)
        return loss.detach()

    def save(self, path) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "averaged": self.averaged.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
            "torch_rng": torch.get_rng_state(),
            "sampler": self.sampler,
            "warm_up": self.warm_up,
            "cache": self.cache,
        }
        if self.lost == "save":
            self.model.eval()
        torch.save(state, path)

    def load(self, path) -> None:
        state = torch.load(path, weights_only=True)
        if self.lost == "statistics":
            state["model"] = {name: value for name, value in state["model"].items() if not name.startswith("1.r")}
        self.model.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("plateau", "averaged", "scaler"):
            if self.lost != name:
                getattr(self, name).load_state_dict(state[name])
        if self.lost != "generator":
            self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        for name in ("sampler", "warm_up", "cache"):
            if self.lost != name:
                setattr(self, name, state[name])
