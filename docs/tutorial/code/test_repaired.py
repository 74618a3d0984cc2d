import numpy as np
import pytest


def train(X, y, seed, epochs=20):
    noise = np.random.default_rng(seed)
    w = np.zeros(X.shape[1])
    for _ in range(epochs):
        augmented = X + noise.normal(scale=0.1, size=X.shape)
        w -= 0.1 * augmented.T @ (augmented @ w - y) / len(y)
    return w


@pytest.mark.reproducible(runs=5, seed_control=True)
def test_train(repro):
    X = np.random.default_rng(0).normal(size=(200, 5))
    y = X @ np.arange(5.0)
    w = train(X, y, repro.seed)
    loss = float(np.mean((X @ w - y) ** 2))
    assert loss < 5
    return {"weights": w, "metrics": {"loss": loss}}
