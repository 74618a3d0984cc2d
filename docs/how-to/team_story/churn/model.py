"""A model of which customers leave, with weights by gradient descent."""

import numpy as np


def clip_outliers(x):
    low = np.quantile(x, 0.01, axis=0)
    high = np.quantile(x, 0.99, axis=0)
    return np.clip(x, low, high)


def scale(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def fit(x, y, steps=100):
    weights = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(x * weights).sum(axis=1)))
        weights -= 0.5 * (x * (p - y)[:, None]).mean(axis=0)
    return weights
