"""Capture of the models of XGBoost, LightGBM and CatBoost, alone and inside of scikit-learn's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from tests.unit.capturing.helpers import differing

pipeline = pytest.importorskip("sklearn.pipeline")
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

X = np.random.default_rng(0).normal(size=(80, 3))
y = X[:, 0] + X[:, 1] > 0


def make_xgboost(**options: Any) -> Any:
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(**{"n_estimators": 3, "max_depth": 2, "n_jobs": 1, **options})


def make_lightgbm(**options: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(**{"n_estimators": 3, "min_child_samples": 2, "verbose": -1, "n_jobs": 1, **options})


def make_catboost(**options: Any) -> Any:
    catboost = pytest.importorskip("catboost")
    given = {"iterations": 3, "verbose": False, "allow_writing_files": False, "thread_count": 1, **options}
    return catboost.CatBoostClassifier(**given)


MAKERS = [make_xgboost, make_lightgbm, make_catboost]


def fit(model: Any, target: Any = y) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, target)


def with_another_label() -> Any:
    other = y.copy()
    other[0] = not other[0]
    return other


@pytest.mark.parametrize("make", MAKERS)
def test_a_fitted_model_is_captured_by_its_trees(make: Callable[..., Any]) -> None:
    one = capture_tree(fit(make()))
    assert differing(one, capture_tree(fit(make()))) == []
    assert differing(one, capture_tree(fit(make(), with_another_label()))) != []
    assert differing(one, capture_tree(fit(make(learning_rate=0.2)))) != []
    assert differing(one, capture_tree(make())) != []
    assert differing(capture_tree(make()), capture_tree(make())) == []


@pytest.mark.parametrize("make", MAKERS)
def test_the_number_of_threads_does_not_count(make: Callable[..., Any]) -> None:
    name = "thread_count" if make is make_catboost else "n_jobs"
    assert differing(capture_tree(fit(make())), capture_tree(fit(make(**{name: 2})))) == []


@pytest.mark.parametrize("make", MAKERS)
def test_a_model_inside_of_a_pipeline_and_a_search(make: Callable[..., Any]) -> None:
    def search() -> Any:
        steps = [("scale", StandardScaler()), ("model", make())]
        return GridSearchCV(pipeline.Pipeline(steps), {"model__learning_rate": [0.1, 0.2]}, cv=2, n_jobs=1)

    one = capture_tree(fit(search()))
    assert differing(one, capture_tree(fit(search()))) == []
    seen = differing(one, capture_tree(fit(search(), with_another_label())))
    assert any(path.startswith("result/best_estimator_/steps/model/") for path in seen)


@pytest.mark.parametrize("make", MAKERS)
def test_a_booster_alone(make: Callable[..., Any]) -> None:
    def booster(target: Any) -> Any:
        model = fit(make(), target)
        if make is make_catboost:
            return model
        return model.get_booster() if make is make_xgboost else model.booster_

    assert differing(capture_tree([booster(y)]), capture_tree([booster(y)])) == []
    assert any(
        path.endswith("/model")
        for path in differing(capture_tree([booster(y)]), capture_tree([booster(with_another_label())]))
    )


def test_the_categories_and_the_best_iteration_of_lightgbm_count() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "c": pd.Categorical(["u", "v"] * 40)})
    one = make_lightgbm().fit(frame, y).booster_
    other = lightgbm.Booster(model_str=one.model_to_string().replace('["u", "v"]', '["v", "u"]'))
    again = lightgbm.Booster(model_str=one.model_to_string())
    assert differing(capture_tree(again), capture_tree(other)) == ["result/model"]
    again.best_iteration = 1
    assert differing(capture_tree(again), capture_tree(lightgbm.Booster(model_str=one.model_to_string()))) == [
        "result/best_iteration"
    ]
