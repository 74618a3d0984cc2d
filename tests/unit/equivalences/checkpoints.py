"""Trainings of many parts, of which some are lost in a checkpoint and some matter, importable by a new interpreter."""

from __future__ import annotations

import json
import pickle
import random
from collections import deque

import numpy as np

from pytest_repro import Tolerance

DATA = np.random.default_rng(11).normal(size=32)


class Momentum:
    """An optimizer that holds a reference to the weights, which it changes in place."""

    def __init__(self, weights):
        self.weights, self.velocity = weights, np.zeros_like(weights)

    def step(self, gradient):
        self.velocity = 0.9 * self.velocity + gradient
        return 0.1 * self.velocity


class Schedule:
    def __init__(self, opt):
        self.opt, self.count = opt, 0

    def rate(self):
        self.count += 1
        return 0.5 ** (self.count // 2)


class Scaler:
    def __init__(self):
        self.scale, self.good = 4.0, 0

    def update(self):
        self.good += 1
        self.scale *= 1.5
        return self.scale


class Average:
    """Averaged weights, made from a reference to the trained ones."""

    def __init__(self, weights):
        self.source, self.shadow = weights, weights.copy()

    def update(self):
        self.shadow = 0.5 * self.shadow + 0.5 * self.source
        return self.shadow


class Statistics:
    def __init__(self):
        self.mean, self.count = 0.0, 0

    def update(self, x):
        self.count += 1
        self.mean += (x - self.mean) / self.count
        return self.mean


class Stopper:
    def __init__(self):
        self.best, self.bad = np.inf, 0

    def update(self, value):
        self.bad = 0 if value < self.best else self.bad + 1
        self.best = min(self.best, value)
        return self.bad + self.best


class Kitchen:
    """Trains weights by everything that is in `used`. Its checkpoint holds everything but what is in `lost`.

    Every part changes in each step, whether it is used or not.
    """

    PARTS = (
        "python", "numpy", "rng", "own_random", "opt", "sched", "scaler", "ema", "norm", "stopper", "buffer", "epoch",
        "order", "stream",
    )  # fmt: skip

    def __init__(self, lost: str = "", used: str = ""):
        self.lost, self.used = set(lost.split()), set(used.split())
        self.weights = np.full(3, 0.25)
        self.rng, self.own_random = np.random.default_rng(3), random.Random(4)
        self.opt = Momentum(self.weights)
        self.sched, self.scaler, self.ema = Schedule(self.opt), Scaler(), Average(self.weights)
        self.norm, self.stopper = Statistics(), Stopper()
        self.buffer, self.epoch = deque(maxlen=3), 0
        self.order = [int(i) for i in np.random.default_rng(5).permutation(len(DATA))]
        if "stream" in self.lost | self.used:  # it cannot be compared, so the assertion is inconclusive with it
            self.stream = iter(range(100))

    def step(self, i):
        x = float(DATA[i])
        self.epoch += 1
        self.buffer.append(x)
        self.order = [*self.order[1:], self.order[0] + 1]
        values = {
            "python": random.random(),
            "numpy": np.random.random(),
            "rng": self.rng.normal(),
            "own_random": self.own_random.random(),
            "opt": self.opt.step(np.full(3, x)),
            "sched": self.sched.rate(),
            "scaler": self.scaler.update(),
            "norm": self.norm.update(x),
            "stopper": self.stopper.update(abs(x)),
            "buffer": sum(self.buffer),
            "epoch": self.epoch % 3,
            "order": DATA[self.order[0] % 32],
        }
        if hasattr(self, "stream"):
            values["stream"] = next(self.stream)
        self.weights *= 0.9
        self.weights += x + 0.0  # in place, because other parts refer to it
        for name in sorted(self.used & values.keys()):
            self.weights += 0.01 * values[name]
        average = self.ema.update()
        if "ema" in self.used:
            self.weights += 0.1 * average
        return float(self.weights.sum())

    def get(self):
        return {
            "weights": self.weights.tolist(),
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "rng": self.rng.bit_generator.state,
            "own_random": self.own_random.getstate(),
            "opt": self.opt.velocity.tolist(),
            "sched": self.sched.count,
            "scaler": (self.scaler.scale, self.scaler.good),
            "ema": self.ema.shadow.tolist(),
            "norm": (self.norm.mean, self.norm.count),
            "stopper": (self.stopper.best, self.stopper.bad),
            "buffer": list(self.buffer),
            "epoch": self.epoch,
            "order": self.order,
            "stream": self.epoch,
        }

    def save(self, path):
        with path.open("wb") as file:
            pickle.dump(self.get(), file)

    def load(self, path):
        with path.open("rb") as file:
            state = pickle.load(file)
        self.weights[:] = state["weights"]
        setters = {
            "python": random.setstate,
            "numpy": np.random.set_state,
            "rng": lambda v: setattr(self.rng.bit_generator, "state", v),
            "own_random": self.own_random.setstate,
            "opt": lambda v: setattr(self.opt, "velocity", np.array(v)),
            "sched": lambda v: setattr(self.sched, "count", v),
            "scaler": lambda v: vars(self.scaler).update(zip(("scale", "good"), v, strict=True)),
            "ema": lambda v: setattr(self.ema, "shadow", np.array(v)),
            "norm": lambda v: vars(self.norm).update(zip(("mean", "count"), v, strict=True)),
            "stopper": lambda v: vars(self.stopper).update(zip(("best", "bad"), v, strict=True)),
            "buffer": self.buffer.extend,
            "epoch": lambda v: setattr(self, "epoch", v),
            "order": lambda v: setattr(self, "order", v),
            "stream": lambda v: [next(self.stream) for _ in range(v)],
        }
        for name, put in setters.items():
            if name not in self.lost and hasattr(self, name if name not in ("python", "numpy") else "lost"):
                put(state[name])


class Rounding(Kitchen):
    """Saves its weights in half precision."""

    def load(self, path):
        super().load(path)
        self.weights[:] = self.weights.astype(np.float16)


class DrawingSave(Kitchen):
    """Draws a random number when it saves, which moves the generator."""

    def save(self, path):
        random.random()
        super().save(path)


class Recording(Kitchen):
    """Records a value of each step, which no checkpoint holds."""

    def __init__(self, lost="", used=""):
        super().__init__(lost, used)
        self.history = []

    def step(self, i):
        self.history.append(random.getrandbits(8) if "python" in self.lost else i)
        return super().step(i)


class ClassCounter(Kitchen):
    """Counts its steps in its class, which no checkpoint of the object holds."""

    total = 0

    def __init__(self, lost="", used=""):
        super().__init__(lost, used)
        type(self).total = 0

    def step(self, i):
        type(self).total += 1
        self.weights += type(self).total
        return super().step(i)


class Drifting(Kitchen):
    """Draws entropy from its third step on, after everything was saved and loaded."""

    def step(self, i):
        if i >= 5:
            self.weights += random.SystemRandom().random()
        return super().step(i)


class Nested:
    """Everything in an object of an object."""

    def __init__(self, lost="", used=""):
        self.agent = Kitchen(lost, used)

    def step(self, i):
        return self.agent.step(i)

    def save(self, path):
        self.agent.save(path)

    def load(self, path):
        self.agent.load(path)


def make_dict():
    return {"weights": np.zeros(2), "rng": np.random.default_rng(1), "mean": 0.0, "unused": np.random.default_rng(2)}


def step_dict(state, i):
    state["mean"] = 0.5 * state["mean"] + i
    state["unused"].random()
    state["weights"] = state["weights"] + state["mean"] + state["rng"].normal()
    return state


def save_dict(state, path):
    path.write_text(json.dumps([state["weights"].tolist(), state["mean"], state["rng"].bit_generator.state]))


def load_dict(state, path):
    weights, _, rng = json.loads(path.read_text())
    state["weights"] = np.array(weights)
    state["rng"].bit_generator.state = rng
    return state


def weights_of(state):
    return state["weights"]


#: Admits weights that were rounded to half precision.
LOOSE = Tolerance(rtol=1e-2, atol=1e-2)
