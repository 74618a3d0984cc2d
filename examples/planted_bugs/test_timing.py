"""Results that depend on the speed of the machine, or on the order in which workers finish."""

from __future__ import annotations

import functools
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import pytest

from pytest_repro import DivergenceError

planted = functools.partial(pytest.mark.xfail, strict=True, raises=DivergenceError)


def descend(steps) -> np.ndarray:
    """Minimise a narrow quadratic function, with one step per item of the iterable."""
    weights = np.ones(50)
    curvature = np.linspace(1e-3, 1.0, 50)
    for _ in steps:
        weights -= 1e-3 * curvature * weights
    return weights


def until(deadline: float):
    """Count until a time of the monotonic clock."""
    return itertools.takewhile(lambda _: time.monotonic() < deadline, itertools.count())


@pytest.mark.reproducible
@planted(reason="a budget in seconds allows another number of steps in each run")
def test_time_budget():
    return descend(until(time.monotonic() + 0.05))


@pytest.mark.reproducible
def test_time_budget_repaired():
    return descend(range(2000))


def score(fold: int) -> tuple[int, float]:
    # The wait simulates folds of unequal duration. SystemRandom is used because the machine's load follows no seed.
    time.sleep(random.SystemRandom().uniform(0.0, 0.01))
    return fold, float(np.sin(fold))


@pytest.mark.reproducible
@planted(reason="results are collected in the order in which the threads finish")
def test_completion_order():
    with ThreadPoolExecutor(max_workers=8) as pool:
        return [future.result() for future in as_completed([pool.submit(score, fold) for fold in range(24)])]


@pytest.mark.reproducible
def test_completion_order_repaired():
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(score, range(24)))
