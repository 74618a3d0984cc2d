"""Resuming boosting with xgb_model= and init_model=, from a saved model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pytest_repro import DivergenceError, assert_resume_equivalent

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 5))
Y = X[:, 0] + 0.1 * RNG.standard_normal(200)


def empty() -> SimpleNamespace:
    return SimpleNamespace(booster=None)


def boost_xgboost(state: SimpleNamespace, i: int) -> None:
    import xgboost

    parameters = {"max_depth": 2, "nthread": 1, "seed": 0}
    state.booster = xgboost.train(parameters, xgboost.DMatrix(X, Y), 1, xgb_model=state.booster)


def save_xgboost(state: SimpleNamespace, path) -> None:
    state.booster.save_model(path.with_suffix(".ubj"))


def load_xgboost(state: SimpleNamespace, path) -> None:
    import xgboost

    state.booster = xgboost.Booster(model_file=path.with_suffix(".ubj"))


def predict_xgboost(state: SimpleNamespace) -> np.ndarray:
    import xgboost

    return state.booster.predict(xgboost.DMatrix(X)) if state.booster else np.zeros(1)


def forget(state: SimpleNamespace, path) -> None:
    state.booster = None


def test_xgboost_resumes_from_a_saved_model_and_not_without_one():
    pytest.importorskip("xgboost")
    functions = {"step": boost_xgboost, "save": save_xgboost, "state": predict_xgboost, "steps": 4}
    assert assert_resume_equivalent(empty, load=load_xgboost, **functions).verdict == "identical"
    with pytest.raises(DivergenceError, match=r"first +step \d: state"):
        assert_resume_equivalent(empty, load=forget, process="same", **functions)


def boost_lightgbm(state: SimpleNamespace, i: int) -> None:
    import lightgbm

    parameters = {"num_leaves": 4, "verbose": -1, "num_threads": 1, "deterministic": True, "seed": 0}
    state.booster = lightgbm.train(parameters, lightgbm.Dataset(X, Y), 1, init_model=state.booster)


def save_lightgbm(state: SimpleNamespace, path) -> None:
    state.booster.save_model(path)


def load_lightgbm(state: SimpleNamespace, path) -> None:
    import lightgbm

    state.booster = lightgbm.Booster(model_file=path)


def predict_lightgbm(state: SimpleNamespace) -> np.ndarray:
    return state.booster.predict(X, num_threads=1) if state.booster else np.zeros(1)


def test_lightgbm_resumes_from_a_saved_model():
    pytest.importorskip("lightgbm")
    functions = {"step": boost_lightgbm, "save": save_lightgbm, "state": predict_lightgbm, "steps": 4}
    assert assert_resume_equivalent(empty, load=load_lightgbm, process="same", **functions).verdict == "identical"
