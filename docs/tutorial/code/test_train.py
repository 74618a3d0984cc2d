import numpy as np
import pytest

noise = np.random.default_rng(0)


def train(X, y, epochs=20):
    w = np.zeros(X.shape[1])
    for _ in range(epochs):
        augmented = X + noise.normal(scale=0.1, size=X.shape)
        w -= 0.1 * augmented.T @ (augmented @ w - y) / len(y)
    return w


@pytest.mark.reproducible
def test_train(repro):
    X = repro.rng.normal(size=(200, 5))
    y = X @ np.arange(5.0)
    w = train(X, y)
    loss = float(np.mean((X @ w - y) ** 2))
    assert loss < 5
    return {"weights": w, "metrics": {"loss": loss}}
