"""Estimator checks: real and planted faults are found, and sound estimators pass."""

from __future__ import annotations

import importlib.util
import json
import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pytest_repro import (
    DivergenceError,
    UsageError,
    assert_resume_equivalent,
    assert_roundtrip,
    reproducible_estimator_checks,
)
from pytest_repro.axes import find_axis
from pytest_repro.equivalences.estimator_checks import CHECKS
from pytest_repro.errors import UnstableError
from tests.plugin.helpers import unwrap


def failures(estimator, **options) -> dict[str, str]:
    """Run all checks, and return the cause that each failing one names."""
    found = {}
    for parameters in reproducible_estimator_checks(estimator, **options):
        given, check = parameters.values
        try:
            check(given)
        except DivergenceError as error:
            found[parameters.id.rpartition("-")[2]] = str(error).partition("cause     ")[2].partition(":")[0]
        except UnstableError:
            found[parameters.id.rpartition("-")[2]] = "unstable"
    return found


@pytest.mark.parametrize(
    "estimator",
    [DecisionTreeClassifier(), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=["tree", "pipeline"],
)
def test_a_sound_estimator_passes_every_check(estimator):
    assert failures(estimator, rows=200, threads=(1, 2, 3), repeats=3) == {}


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(30, max_depth=5), RandomForestRegressor(30, max_depth=6)],
    ids=["predict_proba", "predict"],
)
def test_a_race_between_the_jobs_of_a_forest_is_found(estimator):
    found = failures(estimator, rows=600, skip=("float32", "threads", "clone"))
    assert found.pop("race") == "estimator.race"
    # The race decides whether two jobs add in two orders, so these checks fail by chance.
    assert set(found) <= {"n_jobs", "same_random_state", "pickle", "fit_twice", "global_seed", "predict_row_order"}


def test_kmeans_depends_on_the_number_of_threads():
    found = failures(KMeans(8, n_init=1), rows=1500, threads=(1, 2, 3), skip=("race",))
    assert found.get("threads") == "estimator.threads"


class Faulty(ClassifierMixin, BaseEstimator):
    """A nearest-mean classifier with one fault to choose."""

    def __init__(self, fault: str = "", random_state=None):
        self.fault = fault
        self.random_state = random_state

    def fit(self, X, y):  # noqa: N803 - the field's own name
        self.classes_ = np.unique(y)
        means = np.array([X[y == c].mean(0) for c in self.classes_])
        if self.fault == "global":
            means = means + np.random.random(means.shape)
        if self.fault == "entropy":
            means = means + np.random.default_rng().random(means.shape)
        if self.fault == "leaves state" and hasattr(self, "means_"):
            means = 0.5 * (means + self.means_) + 1
        if self.fault == "float32" and X.dtype == np.float32:
            means = means + 0.1
        self.means_ = means
        return self

    def decision_function(self, X):  # noqa: N803
        scores = -((X[:, None, :] - self.means_) ** 2).sum(-1)
        return scores - scores.mean(0) if self.fault == "batch" else scores

    def predict(self, X):  # noqa: N803
        return self.classes_[self.decision_function(X).argmax(1)]

    def __getstate__(self):
        state = dict(super().__getstate__())
        if self.fault == "loses state" and "means_" in state:
            state["means_"] = state["means_"].round(3)
        return state


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("", set()),
        ("global", {"same_random_state"}),
        ("entropy", {"same_random_state", "global_seed"}),  # all others are inconclusive
        ("leaves state", {"fit_twice"}),
        ("float32", {"float32"}),
        ("loses state", {"pickle"}),
    ],
)
def test_each_planted_fault_fails_its_checks_and_no_other(fault, expected):
    found = failures(Faulty(fault), rows=120, threads=(1, 2))
    assert {name for name, cause in found.items() if cause != "unstable"} == expected
    unstable = {"clone", "fit_twice", "float32", "threads"} if fault == "entropy" else set()
    assert {name for name, cause in found.items() if cause == "unstable"} == unstable


class Threaded(Faulty):
    """Sums in as many parts as the libraries have threads, which rounds differently or changes the fit."""

    def fit(self, X, y):  # noqa: N803
        super().fit(X, y)
        # Polars, which another test may have loaded here, keeps the threads that it has started.
        observed = find_axis("threads").verify(None).observed
        threads = max(count for name, count in observed.items() if name != "polars")
        step = {"rounds": 1e-15, "changes": 1e-3}[self.fault]
        self.means_ = self.means_ * (1 + step * threads)
        return self


@pytest.mark.parametrize(
    ("fault", "says"),
    [("rounds", "sums split among threads round differently"), ("changes", "threads change the fit")],
)
def test_a_fit_that_depends_on_the_number_of_threads_is_found(fault, says):
    others = [name for name in CHECKS if name != "threads"]
    ((estimator, check),) = (
        p.values for p in reproducible_estimator_checks(Threaded(fault), rows=100, threads=(1, 2), skip=others)
    )
    with pytest.raises(DivergenceError) as caught:
        check(estimator)
    assert f"cause     estimator.threads: {says}" in unwrap(str(caught.value))
    assert "1 of 1 variants differ from 1 thread" in str(caught.value)


class Racing(Faulty):
    """Adds entropy unless it uses one job, like threads that add up in any order."""

    def __init__(self, fault: str = "", random_state=None, n_jobs=None):
        super().__init__(fault, random_state)
        self.n_jobs = n_jobs

    def fit(self, X, y):  # noqa: N803
        super().fit(X, y)
        if self.n_jobs != 1:
            self.means_ = self.means_ + np.random.default_rng().random()
        return self


@pytest.mark.parametrize(("fault", "expected"), [("", "estimator.race"), ("entropy", "estimator.global_seed")])
def test_a_race_between_threads_and_entropy_have_different_causes(fault, expected):
    others = [name for name in CHECKS if name != "global_seed"]
    assert failures(Racing(fault), rows=120, skip=others) == {"global_seed": expected}


class Jobs(Faulty):
    """Depends on its number of jobs: in what it fits, or only in the last bits of what it computes."""

    def __init__(self, fault: str = "", n_jobs=None):
        self.fault = fault
        self.n_jobs = n_jobs

    def fit(self, X, y):  # noqa: N803
        super().fit(X, y)
        if self.fault == "fit":
            self.means_ = self.means_ + 1e-3 * (self.n_jobs or 1)
        return self

    def decision_function(self, X):  # noqa: N803
        return super().decision_function(X) * (1 + 1e-15 * (self.n_jobs or 1))


@pytest.mark.parametrize(
    ("fault", "says"),
    [("", "predicting sums the jobs' results in another order"), ("fit", "the result depends on the number of jobs")],
)
def test_jobs_that_round_differently_and_jobs_that_fit_differently_have_different_messages(fault, says):
    checks = {p.id.rpartition("-")[2]: p.values for p in reproducible_estimator_checks(Jobs(fault), rows=100)}
    estimator, check = checks["n_jobs"]
    with pytest.raises(DivergenceError) as caught:
        check(estimator)
    assert re.search(rf"cause +estimator\.n_jobs: .*{says}", unwrap(str(caught.value)))


def test_a_prediction_that_uses_the_batch_is_found_by_its_size_not_its_order():
    from pytest_repro import assert_batch_invariant

    data = np.random.default_rng(0).standard_normal((20, 4))
    fitted = Faulty("batch").fit(data, data[:, 0] > 0)
    with pytest.raises(DivergenceError, match=r"batch\.statistics"):
        assert_batch_invariant(fitted.decision_function, data)


def test_checks_are_parameters_of_a_test_and_do_not_change_the_estimator():
    estimator = LogisticRegression()
    checks = reproducible_estimator_checks(estimator, rows=50, skip=["float32"])
    ids = [parameters.id for parameters in checks]
    assert "LogisticRegression-same_random_state" in ids
    assert "LogisticRegression-float32" not in ids
    checks[0].values[1](estimator)
    assert not hasattr(estimator, "coef_")


@pytest.mark.parametrize(
    ("estimator", "arguments", "message"),
    [
        (LogisticRegression, {}, r"pass an instance, LogisticRegression\(\)"),
        (3, {}, r"a scikit-learn estimator with fit\(\) is needed, got int"),
        (LogisticRegression(), {"skip": ["speed"]}, "skip must be one of .* got 'speed'"),
        (LogisticRegression(), {"rows": 3}, "rows"),
        (LogisticRegression(), {"threads": []}, "threads"),
    ],
)
def test_wrong_arguments_are_rejected(estimator, arguments, message):
    with pytest.raises(UsageError, match=message):
        reproducible_estimator_checks(estimator, **arguments)


DATA = np.random.default_rng(0).standard_normal((60, 4))
TARGET = (DATA[:, 0] > 0).astype(int)


def start() -> SGDClassifier:
    return SGDClassifier(random_state=0, learning_rate="adaptive", eta0=0.1)


def learn(estimator: SGDClassifier, i: int) -> SGDClassifier:
    rows = slice(10 * i, 10 * i + 10)
    return estimator.partial_fit(DATA[rows], TARGET[rows], classes=[0, 1])


def dump(estimator: SGDClassifier, path) -> None:
    import joblib

    joblib.dump(estimator, path)


def revive(estimator: SGDClassifier, path) -> SGDClassifier:
    import joblib

    return joblib.load(path)


def dump_weights(estimator: SGDClassifier, path) -> None:
    path.write_text(json.dumps([estimator.coef_.tolist(), estimator.intercept_.tolist()]))


def revive_weights(estimator: SGDClassifier, path) -> SGDClassifier:
    coef, intercept = json.loads(path.read_text())
    estimator.partial_fit(DATA[:2], [0, 1], classes=[0, 1])
    estimator.coef_, estimator.intercept_ = np.array(coef), np.array(intercept)
    return estimator


def test_partial_fit_resumes_from_joblib_and_not_from_weights_alone():
    assert assert_resume_equivalent(start, steps=5, step=learn, save=dump, load=revive).verdict == "identical"
    with pytest.raises(DivergenceError, match="t_"):
        assert_resume_equivalent(start, steps=5, step=learn, save=dump_weights, load=revive_weights, process="same")


def test_joblib_keeps_a_fitted_estimator():
    fitted = LogisticRegression().fit(DATA, TARGET)
    assert assert_roundtrip(fitted, "joblib", predict=lambda e: e.predict_proba(DATA)).verdict == "identical"


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
def test_a_fit_of_umap_without_a_random_state_is_a_race():
    import umap

    others = [name for name in CHECKS if name != "global_seed"]
    found = failures(umap.UMAP(n_neighbors=5, n_epochs=200), rows=400, skip=others)
    assert found == {"global_seed": "estimator.race"}
