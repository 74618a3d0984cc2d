"""scikit-learn's estimators: hyperparameters and everything that `fit` sets.

Skipped, because equal results may differ in them: the number of threads and the verbosity, wall times
(`refit_time_`, `cv_results_['mean_fit_time']`), a search tree that is rebuilt from `_fit_X`, the address of a list of
stop words, and NumPy's global generator, which is not the estimator's own.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from pytest_repro.frameworks.attributes import has_hidden_state, library_names, package_of
from pytest_repro.frameworks.base_values import Branch, Handler, Internal, Parts, Reader
from pytest_repro.frameworks.object_values import named_attributes

_NOT_A_RESULT = {"n_jobs", "verbose", "_n_threads", "refit_time_", "_tree", "_stop_words_id"}
#: The same objects as under `estimators_`, `transformers_` and `scoring`.
_TWICE = {"named_estimators_", "_name_to_fitted_passthrough", "scorer_"}
_parameter_names: weakref.WeakKeyDictionary[type, list[str]] = weakref.WeakKeyDictionary()
_TIMES = {f"{statistic}_{what}_time" for statistic in ("mean", "std") for what in ("fit", "score")}


def capture_estimator(estimator: Any) -> Branch:
    """Capture hyperparameters and fitted attributes, scikit-learn's private ones as far as they can be compared."""
    parameters = _read_parameters(estimator)
    state = named_attributes(estimator, parameters)
    children = _iterate_children(type(estimator), [*parameters.items(), *state])
    return Branch(type(estimator).__name__, list(children), is_object=True)


def _read_parameters(estimator: Any) -> dict[str, Any]:
    kind = type(estimator)
    if kind.get_params is not BaseEstimator.get_params:
        return dict(estimator.get_params(deep=False))
    # Reading the signature takes 1 ms: for a forest of 100 trees, most of the time of the capture.
    names = _parameter_names.get(kind)
    if names is None:
        names = _parameter_names[kind] = kind._get_param_names()
    return {name: getattr(estimator, name) for name in names}


def _iterate_children(kind: type, attributes: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    # What is known of an attribute holds where scikit-learn's code sets it, and not for what a user's class sets.
    is_own = package_of(kind) == "sklearn"
    known = library_names(kind)
    for name, value in attributes:
        if not is_own and name not in known:
            yield name, _name_steps(value)
            continue
        if name in _NOT_A_RESULT or name in _TWICE or value is np.random.mtrand._rand:
            continue
        if name == "cv_results_":
            value = {key: column for key, column in value.items() if key not in _TIMES}
        value = _name_steps(value)
        yield name, Internal(value) if name.startswith("_") else value


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
        child = step
        if columns:
            child = Branch("tuple", [("transformer", step), ("columns", columns[0])], is_object=True)
        children.append((name, child))
    # The order of steps matters, unlike that of a mapping's keys.
    return Branch("list", children, (("order", ", ".join(repr(name) for name, _ in children)),))


def capture_internal(value: Any) -> Branch:
    """Capture one of scikit-learn's own helpers (loss, kernel, splitter, predictor) by its attributes or state."""
    kind = type(value)
    if not has_hidden_state(kind):
        return Branch(kind.__name__, list(_iterate_children(kind, named_attributes(value))), is_object=True)
    _, arguments, *rest = value.__reduce__()
    children = [(f"argument_{i}", argument) for i, argument in enumerate(arguments)]
    children += [("state", rest[0])] if rest else []
    return Branch(kind.__name__, [*children, *_iterate_children(kind, named_attributes(value))], is_object=True)


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

#: Types whose handler reads every attribute of a subclass too.
COMPLETE: tuple[type, ...] = (BaseEstimator,)

#: Modules whose objects keep their state in plain attributes.
READABLE = ("sklearn",)
