"""State that one run leaves behind, so that the next run starts from another state."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pytest_repro import DivergenceError

planted = functools.partial(pytest.mark.xfail, strict=True, raises=DivergenceError)

DATA = np.arange(200.0).reshape(50, 4)
RNG = np.random.default_rng(0)


def epoch_means(data: np.ndarray, rng: np.random.Generator, batch: int = 10) -> np.ndarray:
    """Return the mean of each batch of one pass over the rows of `data`, which is shuffled in place."""
    rng.shuffle(data)
    return data.reshape(-1, batch, data.shape[1]).mean(axis=1)


@pytest.mark.reproducible
@planted(reason="the shared training set is shuffled in place")
def test_mutated_data(repro):
    return epoch_means(DATA, repro.rng)


@pytest.mark.reproducible
def test_mutated_data_repaired(repro):
    return epoch_means(np.arange(200.0).reshape(50, 4), repro.rng)


@pytest.mark.reproducible
@planted(reason="a generator that is seeded once at import continues from run to run")
def test_module_generator():
    return RNG.normal(size=20)


@pytest.mark.reproducible
def test_module_generator_repaired():
    return np.random.default_rng(0).normal(size=20)


def train_losses(steps: int, losses: list[float] = []) -> list[float]:  # noqa: B006 - the planted bug
    """Return the loss of each step of a gradient descent on x**2."""
    x = 1.0
    for _ in range(steps):
        losses.append(x * x)
        x -= 0.2 * x
    return losses


@pytest.mark.reproducible
@planted(reason="a mutable default argument keeps the first run's losses")
def test_mutable_default():
    return train_losses(5)


@pytest.mark.reproducible
def test_mutable_default_repaired():
    return train_losses(5, losses=[])


@pytest.fixture(scope="module")
def shared_weights():
    return np.zeros(4)


@pytest.fixture
def fresh_weights():
    return np.zeros(4)


def fit(weights: np.ndarray, steps: int = 10) -> np.ndarray:
    X = np.vander(np.linspace(-1, 1, 30), 4)
    y = np.sin(3 * X[:, -2])
    for _ in range(steps):
        weights -= 0.1 * X.T @ (X @ weights - y) / len(y)
    return weights


@pytest.mark.reproducible
@planted(reason="a model in a module-scoped fixture is trained further in each run")
def test_module_scoped_model(shared_weights):
    return fit(shared_weights)


@pytest.mark.reproducible
def test_module_scoped_model_repaired(fresh_weights):
    return fit(fresh_weights)
