"""Capture of scikit-learn's estimators."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from tests.unit.capturing.helpers import Case, assert_captures, differing, flip

pytest.importorskip("sklearn")
from sklearn import (
    base,
    cluster,
    compose,
    datasets,
    ensemble,
    gaussian_process,
    linear_model,
    model_selection,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.feature_extraction.text import TfidfVectorizer

X, y = datasets.make_classification(80, 5, random_state=0)


def fitted(estimator: Any) -> Any:
    return estimator.fit(X, y)


ESTIMATORS = {
    "linear": lambda: linear_model.LogisticRegression(),
    "support vectors": lambda: svm.SVC(probability=False),
    "tree": lambda: tree.DecisionTreeClassifier(max_depth=3, random_state=0),
    "forest": lambda: ensemble.RandomForestClassifier(3, random_state=0),
    "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=3, subsample=0.5, random_state=0),
    "histogram boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "network": lambda: neural_network.MLPClassifier((3,), max_iter=5, random_state=0),
    "neighbours": lambda: neighbors.KNeighborsClassifier(),
    "process": lambda: gaussian_process.GaussianProcessClassifier(random_state=0),
    "stochastic": lambda: linear_model.SGDClassifier(max_iter=5, random_state=0),
    "isolation": lambda: ensemble.IsolationForest(n_estimators=3, random_state=0),
    "splines": lambda: preprocessing.SplineTransformer(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_equal_fits_are_equal_and_a_fit_on_other_data_differs(make: Any) -> None:
    one, two = capture_tree(fitted(make())), capture_tree(fitted(make()))
    assert differing(one, two) == []
    other = X.copy()
    other[:, 0] *= 1.5
    assert differing(one, capture_tree(make().fit(other, y))) != []


def test_one_bit_of_a_coefficient_is_seen() -> None:
    assert_captures(Case(lambda: fitted(linear_model.LogisticRegression()), lambda m: flip(m.coef_)), "result/coef_")


def test_a_hyperparameter_is_seen() -> None:
    case = Case(lambda: fitted(linear_model.LogisticRegression()), lambda m: setattr(m, "C", 2.0))
    assert_captures(case, "result/C")


def test_threads_and_verbosity_do_not_count() -> None:
    one = fitted(ensemble.RandomForestClassifier(3, random_state=0, n_jobs=1))
    other = fitted(ensemble.RandomForestClassifier(3, random_state=0, n_jobs=2, verbose=0))
    assert differing(capture_tree(one), capture_tree(other)) == []


def test_a_tree_is_captured_by_its_nodes_and_values() -> None:
    model = fitted(tree.DecisionTreeClassifier(max_depth=3, random_state=0))
    names = capture_tree(model).names
    assert {"result/tree_/threshold", "result/tree_/feature", "result/tree_/values"} <= set(names)
    kept = capture_tree(model)
    model.tree_.threshold[0] += 1
    assert differing(kept, capture_tree(model)) == ["result/tree_/threshold"]


def test_a_forest_is_captured_by_its_trees() -> None:
    def move(model: Any) -> None:
        model.estimators_[1].tree_.threshold[0] += 1

    make = functools.partial(ensemble.RandomForestClassifier, 3, random_state=0)
    assert_captures(Case(lambda: fitted(make()), move), "result/estimators_/1/tree_/threshold")


def piped() -> Any:
    numbers = compose.ColumnTransformer(
        [("scale", preprocessing.StandardScaler(), [0, 1]), ("keep", "passthrough", [2])]
    )
    return pipeline.Pipeline([("columns", numbers), ("model", linear_model.LogisticRegression())])


def test_steps_have_their_names_as_paths() -> None:
    names = capture_tree({"pipe": fitted(piped())}).names
    assert "pipe/steps/model/coef_" in names
    assert "pipe/steps/columns/transformers_/scale/transformer/mean_" in names
    assert "pipe/steps/columns/transformers_/scale/columns/0" in names


def test_one_bit_within_a_pipeline_is_seen() -> None:
    def move(pipe: Any) -> None:
        flip(pipe["columns"].named_transformers_["scale"].mean_)

    path = "result/steps/columns/transformers_/scale/transformer/mean_"
    assert_captures(Case(lambda: fitted(piped()), move), path)


def test_the_order_of_steps_counts() -> None:
    one = pipeline.make_pipeline(preprocessing.StandardScaler(), preprocessing.MinMaxScaler())
    other = pipeline.Pipeline(one.steps[::-1])
    assert differing(capture_tree(one), capture_tree(other)) == ["result/steps"]


def test_a_search_is_compared_without_its_wall_times() -> None:
    def search() -> Any:
        return fitted(model_selection.GridSearchCV(piped(), {"model__C": [0.1, 1.0]}, cv=2))

    one, other = search(), search()
    other.refit_time_ += 1.0
    other.cv_results_["mean_fit_time"] += 1.0
    assert differing(capture_tree(one), capture_tree(other)) == []
    assert "result/best_estimator_/steps/model/coef_" in capture_tree(one).names
    assert_captures(
        Case(search, lambda s: flip(s.cv_results_["mean_test_score"])), "result/cv_results_/mean_test_score"
    )


def test_functions_of_an_estimator_are_captured_by_name() -> None:
    def captured(function: Any) -> Any:
        return capture_tree(preprocessing.FunctionTransformer(function))

    assert differing(captured(np.log1p), captured(np.log1p)) == []
    assert differing(captured(np.log1p), captured(np.sqrt)) == ["result/func"]
    partial = functools.partial(np.clip, a_min=0)
    assert differing(captured(partial), captured(functools.partial(np.clip, a_min=1))) == ["result/func/keywords/a_min"]
    assert "0x" not in captured(lambda x: x).leaves["result/func"].data


def test_a_random_state_is_captured_unless_it_is_the_global_one() -> None:
    def make() -> Any:
        return linear_model.SGDClassifier(random_state=np.random.RandomState(3))

    assert_captures(Case(make, lambda m: m.random_state.rand() and None))
    model = linear_model.SGDClassifier()
    model._random_state = np.random.mtrand._rand
    assert not any("_random_state" in path for path in capture_tree(model).leaves)


def test_a_vocabulary_is_compared_whatever_its_order() -> None:
    one = TfidfVectorizer().fit(["a red fox", "a blue fox"])
    other = TfidfVectorizer().fit(["a red fox", "a blue fox"])
    other.vocabulary_ = dict(reversed(one.vocabulary_.items()))
    assert differing(capture_tree(one), capture_tree(other)) == []
    assert "result/vocabulary_/fox" in capture_tree(one).names


class Custom(base.BaseEstimator):  # type: ignore[misc]
    def fit(self, public: Any, private: Any) -> Custom:
        self.public_, self._private, self.kept_ = public, private, 1.5
        return self


def test_an_attribute_of_an_own_estimator_that_cannot_be_compared_is_listed_and_the_rest_compared() -> None:
    whole = capture_tree(Custom().fit(1, [2]))
    assert (whole.names, whole.not_compared) == (["result/_private/0", "result/kept_", "result/public_"], [])
    part = capture_tree(Custom().fit(iter([1]), [2, iter([1])]))
    assert part.names == ["result/_private/0", "result/kept_"]
    assert [(value.name, value.is_state) for value in part.not_compared] == [
        ("result/_private/1", True),
        ("result/public_", True),
    ]


def test_splitters_and_kernels_are_captured_by_their_attributes() -> None:
    kernels = gaussian_process.kernels
    assert differing(capture_tree(kernels.RBF(1.0)), capture_tree(kernels.RBF(2.0))) == ["result/length_scale"]
    assert differing(capture_tree(model_selection.KFold(2)), capture_tree(model_selection.KFold(3))) == [
        "result/n_splits"
    ]


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_a_booster_is_captured_by_its_model(package: str) -> None:
    module = pytest.importorskip(package)
    kind, quiet = (
        (module.XGBClassifier, {"verbosity": 0}) if package == "xgboost" else (module.LGBMClassifier, {"verbose": -1})
    )

    def train(rate: float = 0.1, threads: int = 1) -> Any:
        return fitted(kind(n_estimators=3, learning_rate=rate, n_jobs=threads, random_state=0, **quiet))

    def booster(model: Any) -> Any:
        return model.get_booster() if package == "xgboost" else model.booster_

    one = capture_tree(train())
    assert differing(one, capture_tree(train())) == []
    assert differing(one, capture_tree(train(threads=2))) == []
    assert "result/_Booster/model" in differing(one, capture_tree(train(rate=0.2)))
    assert differing(capture_tree(booster(train())), capture_tree(booster(train(rate=0.2)))) == ["result/model"]


class OwnSearch(model_selection.GridSearchCV):  # type: ignore[misc]
    """Only scikit-learn's code sets its times."""


class OwnClusters(cluster.KMeans):  # type: ignore[misc]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> OwnClusters:  # noqa: N803
        super().fit(X)
        self.calibration = 1.0
        self._n_threads = "mine"
        return self


class Tracker(base.BaseEstimator):  # type: ignore[misc]
    """Its attributes have names of attributes that scikit-learn's classes set."""

    def fit(self, value: float) -> Tracker:
        self._tree, self.n_jobs, self.refit_time_, self.cv_results_ = value, value, value, np.full(2, value)
        return self


def test_what_is_known_of_an_attribute_holds_where_the_library_sets_it() -> None:
    data, classes = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    search = OwnSearch(neighbors.KNeighborsClassifier(), {"n_neighbors": [1, 2]}, cv=2).fit(data, classes)
    names = capture_tree(search).names
    assert "result/cv_results_/mean_test_score" in names
    assert not [name for name in names if name.endswith("_time")]
    names = capture_tree(OwnClusters(2, n_init=1).fit(data)).names
    assert "result/calibration" in names
    assert "result/_n_threads" in names
    for name in ("_tree", "n_jobs", "refit_time_", "cv_results_"):
        assert f"result/{name}" in differing(capture_tree(Tracker().fit(1.0)), capture_tree(Tracker().fit(2.0)))


def test_the_address_of_a_vectorizers_stop_words_is_no_result() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizers = [CountVectorizer(stop_words=["word"]).fit(["some text"]) for _ in range(2)]
    assert vectorizers[0]._stop_words_id != vectorizers[1]._stop_words_id
    assert differing(*map(capture_tree, vectorizers)) == []


@pytest.mark.parametrize("kind", [neighbors.KDTree, neighbors.BallTree])
def test_a_compiled_search_tree_is_captured_by_its_state(kind: Any) -> None:
    first, again, other = (kind(np.array([[0.0], [x]])) for x in (1, 1, 2))
    assert not differing(capture_tree(first), capture_tree(again))
    assert differing(capture_tree(first), capture_tree(other))
