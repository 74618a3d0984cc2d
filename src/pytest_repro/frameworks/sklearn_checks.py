"""Helpers of the estimator checks: data for an estimator, clones, fitting, and all of its outputs."""

from __future__ import annotations

import io
import warnings
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError

from pytest_repro.errors import UsageError
from pytest_repro.frameworks.attributes import library_names, package_of
from pytest_repro.frameworks.object_values import named_attributes

#: Methods whose result is continuous for every estimator.
CONTINUOUS = ("predict_proba", "decision_function", "transform", "score_samples")
#: Methods whose result has a row for each sample.
METHODS = ("predict", *CONTINUOUS)


def require_estimator(estimator: Any) -> None:
    """Raise UsageError unless this is an instance of an estimator with ``fit``."""
    if isinstance(estimator, type):
        raise UsageError(f"pass an instance, {estimator.__name__}(), not the class")
    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "fit"):
        raise UsageError(f"a scikit-learn estimator with fit() is needed, got {type(estimator).__name__}")


def make_data(estimator: Any, rows: int) -> tuple[Any, Any]:
    """Return data for an estimator: 20 features with noisy classes or a noisy linear target, or 100 without target.

    Without a target most of the work is matrix products, which use several threads only with enough features.

    Returns
    -------
    X : ndarray of float64, shape (rows, 20) or (rows, 100)
    y : ndarray, shape (rows,), or None
    """
    if is_regressor(estimator):
        data, target = make_regression(rows, 20, n_informative=10, noise=10.0, random_state=0)
        return data, target
    features = 20 if is_classifier(estimator) else 100
    data, classes = make_classification(
        rows, features, n_informative=10, n_classes=3, n_clusters_per_class=2, flip_y=0.2, class_sep=0.7, random_state=0
    )
    return data, (classes if is_classifier(estimator) else None)


def parameters_of(estimator: Any) -> dict[str, Any]:
    """Return the estimator's parameters, including those of the parts of a pipeline or a search."""
    return dict(estimator.get_params(deep=True))


def copy_with(estimator: Any, **changes: Any) -> Any:
    """Return an unfitted clone with new values for all parameters of these names, at any depth."""
    copy = clone(estimator)
    deep = {name: value for name in copy.get_params(deep=True) for end, value in changes.items() if _ends_in(name, end)}
    return copy.set_params(**deep)


def has_parameter(estimator: Any, name: str) -> bool:
    """Return whether the estimator or a part of it has a parameter of this name."""
    return any(_ends_in(found, name) for found in estimator.get_params(deep=True))


def _ends_in(name: str, end: str) -> bool:
    return name == end or name.endswith(f"__{end}")


def fit(estimator: Any, X: Any, y: Any) -> Any:  # noqa: N803 - the field's own name
    """Fit the estimator, without warnings about convergence and threads, which are not checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X) if y is None else estimator.fit(X, y)


def compute_outputs(estimator: Any, X: Any, methods: tuple[str, ...] = METHODS) -> dict[str, Any]:  # noqa: N803
    """Return the results of all methods that the estimator has for samples."""
    outputs = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in methods:
            if hasattr(estimator, method):
                try:
                    outputs[method] = getattr(estimator, method)(X)
                except (NotFittedError, NotImplementedError, AttributeError):
                    continue  # the class has the method, but not in this configuration
    return outputs


def continuous_methods(estimator: Any) -> tuple[str, ...]:
    """Return the methods whose results are continuous."""
    return ("predict", *CONTINUOUS) if is_regressor(estimator) else CONTINUOUS


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Return the public attributes that fitting sets, and all others that a class of the user's own sets."""
    known, parameters = library_names(type(estimator)), estimator.get_params(deep=False)
    is_own = package_of(type(estimator)) == "sklearn"
    return {
        name: value
        for name, value in named_attributes(estimator, parameters)
        if (name.endswith("_") and not name.startswith("_")) or not (is_own or name in known)
    }


def pass_through_memory(estimator: Any) -> Any:
    """Save an estimator with joblib in memory and load it again.

    Loading is safe, because the data was written here.
    """
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def permute(X: Any, order: Any) -> Any:  # noqa: N803
    """Return the rows in another order."""
    return X.iloc[order] if hasattr(X, "iloc") else X[order]


def as_float32(X: Any) -> Any:  # noqa: N803
    """Return floating-point data in single precision."""
    return X.astype(np.float32)
