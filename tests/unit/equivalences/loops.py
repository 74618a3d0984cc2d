"""Trainings of NumPy alone, importable by a new interpreter."""

from __future__ import annotations

import json
import os
import random

import numpy as np


class Walk:
    """A momentum walk with noise from its own generator, `random`'s and NumPy's global ones."""

    def __init__(self, lost: str = "") -> None:
        self.lost = lost
        self.weights = np.zeros(4)
        self.momentum = np.zeros(4)
        self.rng = np.random.default_rng(5)

    def step(self, i: int) -> float:
        gradient = self.rng.normal(size=4) + random.random() + np.random.random()
        self.momentum = 0.9 * self.momentum + gradient
        self.weights = self.weights - 0.1 * self.momentum
        return float(self.weights.sum())

    def save(self, path) -> None:
        if self.lost == "save draws":
            random.random()
        state = {
            "weights": [w.hex() for w in self.weights.tolist()],
            "momentum": [m.hex() for m in self.momentum.tolist()],
            "rng": self.rng.bit_generator.state,
            "python": random.getstate(),
            "numpy": [int(w) for w in np.random.get_state()[1]] + [int(np.random.get_state()[2])],
        }
        path.write_text(json.dumps(state))

    def load(self, path) -> None:
        state = json.loads(path.read_text())
        self.weights = np.array([float.fromhex(w) for w in state["weights"]])
        if self.lost != "momentum":
            self.momentum = np.array([float.fromhex(m) for m in state["momentum"]])
        if self.lost != "numpy_rng":
            self.rng.bit_generator.state = state["rng"]
        if self.lost != "python_rng":
            version, words, gauss = state["python"]
            random.setstate((version, tuple(words), gauss))
        if self.lost != "global numpy":
            *words, position = state["numpy"]
            np.random.set_state(("MT19937", np.array(words, np.uint32), position))


class Unseeded(Walk):
    """Starts from random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = np.frombuffer(os.urandom(4), np.uint8).astype(float)


class Failing(Walk):
    """Fails in training."""

    def step(self, i: int) -> float:
        raise RuntimeError(f"no step {i}")


class Silent(Walk):
    """Saves nothing."""

    def save(self, path) -> None:
        pass


class Iterating(Walk):
    """Reads its data from an iterator, which is not part of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = iter(range(100))

    def step(self, i: int) -> float:
        self.weights = self.weights + next(self.stream)
        return super().step(i)


def make_dict() -> dict[str, np.ndarray]:
    return {"x": np.zeros(3)}


def step_dict(state: dict[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    return {"x": state["x"] + i / 3}


def save_dict(state: dict[str, np.ndarray], path) -> None:
    with path.open("wb") as file:
        np.save(file, state["x"])


def load_dict(state: dict[str, np.ndarray], path) -> dict[str, np.ndarray]:
    return {"x": np.load(path)}


def load_float32(state: dict[str, np.ndarray], path) -> dict[str, np.ndarray]:
    return {"x": np.load(path).astype(np.float32).astype(np.float64)}


def sum_of_sines() -> np.ndarray:
    return np.sin(np.arange(100.0)).cumsum()


def fail() -> None:
    raise ValueError("by itself")


def matrix_product() -> np.ndarray:
    values = np.random.default_rng(0).standard_normal((600, 600)).astype(np.float32)
    return values @ values


def entropy() -> np.ndarray:
    return np.frombuffer(os.urandom(8), np.uint8)


class Holder:
    """Has a function as an attribute."""

    @staticmethod
    def inner() -> int:
        return 3
