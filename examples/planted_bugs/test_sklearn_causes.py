"""Causes due to options of scikit-learn."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pytest_repro import DivergenceError

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import ShuffleSplit

planted = functools.partial(pytest.mark.xfail, strict=True, raises=DivergenceError)

X, y = load_digits(return_X_y=True)
X.flags.writeable = False

WARM = SGDClassifier(random_state=0, max_iter=3, tol=None, warm_start=True)


@pytest.mark.reproducible
@planted(reason="a shared estimator with warm_start continues from its last weights")
def test_warm_start():
    return WARM.fit(X[:500], y[:500]).coef_


@pytest.mark.reproducible
def test_warm_start_repaired():
    return SGDClassifier(random_state=0, max_iter=3, tol=None, warm_start=True).fit(X[:500], y[:500]).coef_


SHARED_STATE = np.random.RandomState(0)


def split_rows(random_state) -> list[np.ndarray]:
    return [test for _, test in ShuffleSplit(3, random_state=random_state).split(X[:100])]


@pytest.mark.reproducible
@planted(reason="a shared RandomState continues its stream, while an int would start it again")
def test_shared_random_state():
    return split_rows(SHARED_STATE)


@pytest.mark.reproducible
def test_shared_random_state_repaired(repro):
    return split_rows(repro.seed)
