"""A torch training of many parts, of which some are lost in a checkpoint and some matter."""

from __future__ import annotations

import copy

import torch
from torch import nn

from tests.unit.equivalences.checkpoints import Statistics

GENERATOR = torch.Generator().manual_seed(9)
X, Y = torch.randn(24, 4, generator=GENERATOR), torch.randn(24, 1, generator=GENERATOR)


class TorchKitchen:
    """Its checkpoint holds everything but what is in `lost`. `used` says what the weights depend on."""

    PARTS = ("opt", "sched", "scaler", "ema", "gen", "torch", "norm", "mode", "order_gen", "model")

    def __init__(self, lost="", used=""):
        self.lost, self.used = set(lost.split()), set(used.split())
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        if "torch" not in self.used:
            self.model[2].p = 0.0
        momentum = 0.9 if "opt" in self.used else 0.0
        self.opt = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=momentum)
        self.side = torch.optim.Adam([nn.Parameter(torch.zeros(2))])  # trains nothing that matters
        self.sched = torch.optim.lr_scheduler.StepLR(self.opt, 2, gamma=0.5 if "sched" in self.used else 1.0)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1.0, growth_interval=2)
        self.ema = copy.deepcopy(self.model)
        self.gen, self.order_gen = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
        data = torch.utils.data.TensorDataset(X, Y)
        self.sampler = torch.utils.data.RandomSampler(data, generator=self.order_gen)
        self.norm = Statistics()

    def step(self, i):
        if i == 0 and "mode" in self.used:
            self.model[1].eval()
        order = list(self.sampler)
        rows = order[:8] if "order_gen" in self.used else list(range(3 * i % 16, 3 * i % 16 + 8))
        x, noise = X[rows], torch.randn(8, 4, generator=self.gen)
        drawn = torch.rand(8, 4)
        if "gen" in self.used:
            x = x + noise
        if "torch" in self.used:
            x = x + drawn
        mean = self.norm.update(float(x.sum()))
        loss = nn.functional.mse_loss(self.model(x), Y[rows])
        if "norm" in self.used:
            loss = loss * (1 + 0.01 * abs(mean))
        if "ema" in self.used:
            loss = loss + 0.1 * ((self.ema[0].weight.detach() - self.model[0].weight) ** 2).sum()
        if "scaler" in self.used:
            loss = loss * self.scaler.get_scale()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.sched.step()
        found = torch.ones(2)
        self.side.param_groups[0]["params"][0].grad = found
        self.side.step()
        self.scaler.scale(torch.zeros(()))
        grown = self.scaler.state_dict()
        self.scaler.load_state_dict(grown | {"scale": grown["scale"] * 1.1})
        with torch.no_grad():
            for average, weight in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                average.mul_(0.5).add_(weight, alpha=0.5)
        return float(loss.detach())

    def parts(self):
        return {
            "model": (self.model.state_dict, self.model.load_state_dict),
            "opt": (self.opt.state_dict, self.opt.load_state_dict),
            "side": (self.side.state_dict, self.side.load_state_dict),
            "sched": (self.sched.state_dict, self.sched.load_state_dict),
            "scaler": (self.scaler.state_dict, self.scaler.load_state_dict),
            "ema": (self.ema.state_dict, self.ema.load_state_dict),
            "gen": (self.gen.get_state, self.gen.set_state),
            "order_gen": (self.order_gen.get_state, self.order_gen.set_state),
            "torch": (torch.get_rng_state, torch.set_rng_state),
            "norm": (lambda: vars(self.norm).copy(), vars(self.norm).update),
            "mode": (lambda: self.model[1].training, self.model[1].train),
        }

    def save(self, path):
        torch.save({name: get() for name, (get, _) in self.parts().items()}, path)

    def load(self, path):
        state = torch.load(path)
        for name, (_, put) in self.parts().items():
            if name not in self.lost:
                put(state[name])


class WithLoader:
    """Shuffles by a loader, whose generator starts anew if it is lost. Draws an epoch's order every two steps."""

    def __init__(self, lost="", inner=False):
        self.lost = set(lost.split())
        self.model = nn.Linear(4, 1)
        self.opt = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        generator = torch.Generator().manual_seed(3)
        self.loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(X, Y), batch_size=12, shuffle=True, generator=generator
        )
        if not inner:
            self.generator = generator
        self.batches = []

    def step(self, i):
        if not self.batches:
            self.batches = [[x.clone(), y.clone()] for x, y in self.loader]
        x, y = self.batches.pop(0)
        loss = nn.functional.mse_loss(self.model(x), y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        torch.rand(1)
        return float(loss.detach())

    def save(self, path):
        state = {"model": self.model.state_dict(), "opt": self.opt.state_dict(), "batches": self.batches}
        torch.save(state | {"generator": self.loader.generator.get_state(), "torch": torch.get_rng_state()}, path)

    def load(self, path):
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.batches = state["batches"]
        if "opt" not in self.lost:
            self.opt.load_state_dict(state["opt"])
        if "generator" not in self.lost:
            self.loader.generator.set_state(state["generator"])
        if "torch" not in self.lost:
            torch.set_rng_state(state["torch"])


def log_and_round(x):
    """Draw a number that does not reach the result, which differs in compiled code for another reason."""
    torch.rand(1)
    return x * (1.5 if torch.compiler.is_compiling() else 1.0)


def drop_and_log(x):
    """Return a result of random numbers, which also differs in compiled code for another reason."""
    return x * torch.rand_like(x) * (1.5 if torch.compiler.is_compiling() else 1.0)
