import numpy as np
import pytest
from churn.model import clip_outliers, fit, scale


@pytest.mark.reproducible(rtol=1e-9)
def test_model(repro):
    table = np.loadtxt(repro.data("customers", "customers.csv"), delimiter=",", dtype=np.float32)
    x, left = scale(clip_outliers(table[:, :-1])), table[:, -1]
    weights = fit(x, left)
    return {"features": x, "weights": weights, "leaves": (x * weights).sum(axis=1) > 0}
