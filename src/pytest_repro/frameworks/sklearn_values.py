"""scikit-learn's estimators: hyperparameters and everything that `fit` sets.

Skipped, because equal results may differ in them: the number of threads and the verbosity, wall times
(`refit_time_`, `cv_results_['mean_fit_time']`), a search tree that is rebuilt from `_fit_X`, and NumPy's
global generator, which is not the estimator's own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from pytest_repro.frameworks.base_values import Branch, Droppable, Handler, Parts, Reader
from pytest_repro.model import Leaf

_NOT_A_RESULT = {"n_jobs", "verbose", "_n_threads", "refit_time_", "_tree"}
#: The same objects as under `estimators_`, `transformers_` and `scoring`.
_TWICE = {"named_estimators_", "_name_to_fitted_passthrough", "scorer_"}
_CODE: tuple[type, ...] = (FunctionType, BuiltinFunctionType, MethodType, type, np.ufunc, type(np.mean))
_parameter_names: dict[type, list[str]] = {}
_TIMES = {f"{statistic}_{what}_time" for statistic in ("mean", "std") for what in ("fit", "score")}


def capture_estimator(estimator: Any) -> Branch:
    """Capture hyperparameters and fitted attributes, private ones as far as they can be compared."""
    parameters = _read_parameters(estimator)
    state = {name: value for name, value in vars(estimator).items() if name not in parameters}
    return Branch(type(estimator).__name__, [*_iterate_children(parameters.items()), *_iterate_children(state.items())])


def _read_parameters(estimator: Any) -> dict[str, Any]:
    kind = type(estimator)
    if kind.get_params is not BaseEstimator.get_params:
        return dict(estimator.get_params(deep=False))
    # Reading the signature takes 1 ms: for a forest of 100 trees, most of the time of the capture.
    names = _parameter_names.get(kind)
    if names is None:
        names = _parameter_names[kind] = kind._get_param_names()
    return {name: getattr(estimator, name) for name in names}


def _iterate_children(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in items:
        if name in _NOT_A_RESULT or name in _TWICE or value is np.random.mtrand._rand:
            continue
        if name == "cv_results_":
            value = {key: column for key, column in value.items() if key not in _TIMES}
        value = _name_steps(_name_code(value))
        yield name, Droppable(value) if name.startswith("_") else value


def _name_code(value: Any) -> Any:
    # A function is part of an estimator's configuration. Its results show in the fitted attributes.
    if isinstance(value, _CODE):
        name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
        return Leaf("value", f"{value.__module__}.{name}".removeprefix("None."), type(value).__name__, "str")
    if isinstance(value, functools.partial):
        return Branch("partial", [("func", _name_code(value.func)), ("args", value.args), ("keywords", value.keywords)])
    return value


def _name_steps(value: Any) -> Any:
    """Name steps as their pipeline does: ``steps/scaler/mean_`` and not ``steps/0/1/mean_``."""
    if not isinstance(value, list) or not value:
        return value
    if not all(isinstance(step, tuple) and len(step) in (2, 3) and isinstance(step[0], str) for step in value):
        return value
    if len({step[0] for step in value}) < len(value):
        return value
    children = []
    for name, step, *columns in value:
        child = _name_code(step)
        if columns:
            child = Branch("tuple", [("transformer", child), ("columns", _name_code(columns[0]))])
        children.append((name, child))
    # The order of steps matters, unlike that of a mapping's keys.
    return Branch("list", children, (("order", ", ".join(repr(name) for name, _ in children)),))


def capture_internal(value: Any) -> Branch:
    """Capture one of scikit-learn's own helpers (loss, kernel, splitter, predictor) by its attributes or state."""
    if hasattr(value, "__dict__"):
        return Branch(type(value).__name__, list(_iterate_children(vars(value).items())))
    _, arguments, *rest = value.__reduce__()
    children = [(f"argument_{i}", _name_code(argument)) for i, argument in enumerate(arguments)]
    return Branch(type(value).__name__, [*children, ("state", rest[0])] if rest else children)


def capture_decision_tree(value: Any) -> Branch:
    """Capture a fitted tree by its node and value arrays."""
    state = dict(value.__getstate__())
    nodes = state.pop("nodes")
    columns = {name: nodes[name] for name in nodes.dtype.names}
    if "missing_go_to_left" in columns:
        # Leaves have no children: releases before 1.3.2 left unwritten memory there (scikit-learn#27580).
        columns["missing_go_to_left"] = np.where(columns["left_child"] == -1, 0, columns["missing_go_to_left"])
    return Branch("Tree", [*columns.items(), *state.items()])


def _read_decision_tree(value: Any) -> Parts:
    state = value.__getstate__()
    return Parts([(name, state[name]) for name in ("nodes", "values") if name in state])


#: By name, so that sklearn.tree is not imported for it.
_TREE = "sklearn.tree._tree.Tree"


def find_by_protocol(kind: type) -> Handler | None:
    """Find the handler of scikit-learn's own classes other than estimators, and of SciPy's splines."""
    if f"{kind.__module__}.{kind.__qualname__}" == _TREE:
        return capture_decision_tree
    return capture_internal if kind.__module__.startswith(("sklearn.", "scipy.interpolate.")) else None


def find_reader(name: str) -> Reader | None:
    """Find the reader of a fitted tree by the qualified name of its type."""
    return Reader(_read_decision_tree) if name == _TREE else None


HANDLERS: dict[type, Handler] = {BaseEstimator: capture_estimator}

#: Modules whose objects keep their state in plain attributes.
READABLE = ("sklearn",)
