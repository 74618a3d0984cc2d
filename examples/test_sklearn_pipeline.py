"""scikit-learn: a pipeline is compared by its fitted attributes, including the trees of a forest."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module")
def digits():
    """Return 1,797 images of 8 x 8 pixels, which are read-only, so that all runs can share them."""
    X, y = load_digits(return_X_y=True)
    X.flags.writeable = False
    return X, y


@pytest.mark.reproducible
def test_pipeline(repro, digits):
    X, y = digits
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=repro.seed, stratify=y)
    pipeline = make_pipeline(
        StandardScaler(),
        PCA(n_components=32, svd_solver="randomized", random_state=repro.seed),
        LogisticRegression(max_iter=200),
    )
    pipeline.fit(X_train, y_train)
    accuracy = pipeline.score(X_test, y_test)
    assert accuracy > 0.9
    return {"pipeline": pipeline, "predictions": pipeline.predict(X_test), "metrics": {"accuracy": accuracy}}


@pytest.mark.reproducible
def test_forest_without_random_state_follows_the_global_seed(digits):
    # random_state=None draws from NumPy's global generator, which is seeded before each run.
    X, y = digits
    forest = RandomForestClassifier(n_estimators=10).fit(X[:1000], y[:1000])
    return {"forest": forest, "probabilities": forest.predict_proba(X[1000:])}
