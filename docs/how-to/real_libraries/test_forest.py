"""scikit-learn: the probabilities that a forest predicts, with several jobs."""

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier


def probabilities(seed, n_jobs):
    data, target = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(n_estimators=100, max_depth=6, random_state=seed, n_jobs=n_jobs)
    forest.fit(data[:400], target[:400])
    return {"probabilities": forest.predict_proba(data[400:])}


@pytest.mark.reproducible(runs=5)
def test_probabilities_of_four_jobs(repro):
    return probabilities(repro.seed, n_jobs=4)


@pytest.mark.reproducible(runs=5)
def test_probabilities_repaired(repro):
    return probabilities(repro.seed, n_jobs=1)
