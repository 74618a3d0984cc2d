"""An ignored seed argument: runs are identical, but so are runs with any other seed."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pytest_repro import InconclusiveError

planted = functools.partial(pytest.mark.xfail, strict=True, raises=InconclusiveError)


def train(seed: int, *, honour: bool) -> np.ndarray:
    rng = np.random.default_rng(seed if honour else 42)
    X = rng.normal(size=(100, 5))
    y = X @ np.arange(5.0) + rng.normal(scale=0.1, size=100)
    return np.linalg.solve(X.T @ X, X.T @ y)


@pytest.mark.reproducible(seed_control=True)
@planted(reason="train() ignores its seed argument")
def test_ignored_seed(repro):
    return train(repro.seed, honour=False)


@pytest.mark.reproducible(seed_control=True)
def test_ignored_seed_repaired(repro):
    return train(repro.seed, honour=True)
