"""scikit-learn's configuration, and estimators that draw from NumPy's global generator."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro import seeding
from tests.unit.seeding.helpers import assert_follows_seed

sklearn = pytest.importorskip("sklearn")


def test_a_configuration_left_changed_is_reported_and_restored() -> None:
    state = seeding.save_state()
    sklearn.set_config(transform_output="pandas")
    assert seeding.restore_state(state) == [
        "sklearn config was left at transform_output=pandas; restored to transform_output=default"
    ]
    assert sklearn.get_config()["transform_output"] == "default"


def test_an_estimator_without_random_state_follows_the_seed() -> None:
    from sklearn.linear_model import SGDClassifier

    x = np.random.default_rng(1).normal(size=(50, 3))
    y = x[:, 0] > 0

    def fit() -> list[float]:
        return SGDClassifier(max_iter=3, tol=None).fit(x, y).coef_.ravel().tolist()

    assert_follows_seed(fit)
