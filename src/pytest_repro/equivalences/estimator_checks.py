"""reproducible_estimator_checks: what a user of scikit-learn may rely on, as parameters of a pytest test."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pytest_repro import seeding
from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.capturing import capture_tree
from pytest_repro.equivalences.estimator_causes import explain, explain_global_seed, explain_n_jobs, explain_pickle
from pytest_repro.equivalences.findings import (
    Deviation,
    Equivalence,
    Explanation,
    Inquiry,
    Trial,
    check_count,
    check_counts,
)
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance
from pytest_repro.errors import CaptureError, MissingExtraError, UsageError
from pytest_repro.model import Artifacts, Tolerance

_NAME = "reproducible_estimator_checks"
#: Another order of rows moves a row to another part of a vectorised loop: rounding of float64 is allowed there.
ROW_ORDER_NORM = 1e-12
#: Fits compared where threads may race, and with one thread, to tell a race from entropy.
FITS = 5


@dataclass(frozen=True, slots=True)
class Setup:
    """What the checks of one estimator share.

    Attributes
    ----------
    X, y : data; y is None for an estimator that takes none
    threads : tuple of int
    repeats : int
        Predictions compared for a race, with more jobs than cores.
    float32_norm : float
    """

    X: Any
    y: Any
    threads: tuple[int, ...]
    repeats: int
    float32_norm: float


class Check(Protocol):
    """A check of one estimator."""

    def __call__(self, estimator: Any, setup: Setup) -> Equivalence:
        """Raise unless the estimator passes."""


def reproducible_estimator_checks(
    estimator: Any,
    *,
    X: Any = None,  # noqa: N803
    y: Any = None,
    rows: int = 1000,
    threads: Sequence[int] | None = None,
    repeats: int = 20,
    float32_norm: float = 1e-3,
    skip: Sequence[str] = (),
) -> list[Any]:
    """Return the checks that apply to an estimator, as parameters ``(estimator, check)`` of a pytest test.

    Parameters
    ----------
    estimator : instance of a scikit-learn estimator
        Never fitted or changed itself: each check works on clones.
    X, y : arrays, optional
        Data to fit; by default made to suit: noisy classes or a noisy linear target and 20 features, or 100 features.
    rows : int
        Rows of the data made; too few for threads to share hide what threads change.
    threads : sequence of int, optional
        By default 1, 2, and the odd number above the cores.
    repeats : int
        Predictions compared with each other where there are more jobs than cores.
    float32_norm : float
        Norm of the difference over the norm of the result that float32 data may cause.
    skip : sequence of str
        Names of checks left out.

    Returns
    -------
    list of pytest.param
        Ids are the checks' names: ``same_random_state``, ``clone``, ``pickle``, ``n_jobs``, ``predict_row_order``,
        ``global_seed``, ``fit_twice``, ``float32``, ``threads``, ``race``.

    Raises
    ------
    UsageError
        If this is no estimator, or `skip` names no check.
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    ::

        @pytest.mark.parametrize("estimator, check", reproducible_estimator_checks(RandomForestClassifier()))
        def test_reproducible(estimator, check):
            check(estimator)
    """
    import pytest

    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError(f"{_NAME} needs scikit-learn: pip install 'pytest-repro[sklearn]'")
    tools = _tools()
    tools.require_estimator(estimator)
    unknown = [name for name in skip if name not in CHECKS]
    if unknown:
        raise UsageError(f"{_NAME}: skip names no check: {unknown[0]!r}; the checks are {', '.join(CHECKS)}")
    check_count(_NAME, "rows", rows, least=10)
    given: Any = find_axis("threads").default_values(Machine.here()) if threads is None else threads
    if X is None:
        X, y = tools.make_data(estimator, rows)  # noqa: N806
    setup = Setup(
        X, y, check_counts(_NAME, "threads", given), check_count(_NAME, "repeats", repeats, least=2), float32_norm
    )
    return [
        pytest.param(estimator, functools.partial(check, setup=setup), id=f"{type(estimator).__name__}-{name}")
        for name, (check, applies) in CHECKS.items()
        if name not in skip and applies(estimator)
    ]


def _tools() -> Any:
    return importlib.import_module("pytest_repro.frameworks.sklearn_checks")


def _begin(name: str, tolerance: Tolerance | None = None) -> Inquiry:
    return Inquiry.begin(f"estimator check {name}", tolerance, {})


def _seeded_copy(estimator: Any, **changes: Any) -> Any:
    """Return a clone with every `random_state` an integer: the user's, or 0."""
    tools = _tools()
    parameters = tools.parameters_of(estimator)
    unseeded = {
        name: 0
        for name, value in parameters.items()
        if (name == "random_state" or name.endswith("__random_state")) and not isinstance(value, int)
    }
    return tools.copy_with(estimator, **changes).set_params(**unseeded)


def _everything(estimator: Any, setup: Setup) -> Artifacts:
    """Capture what fitting left behind and what every method gives."""
    tools = _tools()
    leaves = dict(capture_tree(tools.compute_outputs(estimator, setup.X)).leaves)
    for name, value in tools.fitted_attributes(estimator).items():
        try:
            leaves.update(capture_tree(value, root=f"fitted/{name}", top_level=False).leaves)
        except CaptureError:
            continue  # an internal object; what it holds shows in what the methods give
    return Artifacts(leaves)


def _fit(estimator: Any, setup: Setup) -> Any:
    return _tools().fit(estimator, setup.X, setup.y)


def _restoring(check: Check) -> Check:
    @functools.wraps(check)
    def run(estimator: Any, setup: Setup) -> Equivalence:
        __tracebackhide__ = True
        state = seeding.save_state()
        try:
            return check(estimator, setup)
        finally:
            seeding.restore_state(state)

    return run


@_restoring
def check_same_random_state(estimator: Any, setup: Setup) -> Equivalence:
    """Two fits with one random_state agree, wherever the global generators stand."""
    results = []
    for seed in (1, 2):
        seeding.seed_everything(seed)
        results.append(_everything(_fit(_seeded_copy(estimator), setup), setup))
    return _begin("same_random_state").conclude(
        Trial("fitted with random_state set", results[0]),
        [Trial("fitted again, global generators seeded otherwise", results[1])],
        explain(
            "estimator.random_state: a part draws from a global generator, or the fit does not repeat",
            "use check_random_state(self.random_state) everywhere, and hand it to every part",
        ),
    )


@_restoring
def check_clone(estimator: Any, setup: Setup) -> Equivalence:
    """A clone of a fitted estimator fits to the same."""
    tools = _tools()
    first = _fit(_seeded_copy(estimator), setup)
    second = _fit(tools.copy_with(first), setup)
    return _begin("clone").conclude(
        Trial("fitted", _everything(first, setup)),
        [Trial("a clone of it, fitted", _everything(second, setup))],
        explain("estimator.clone: a clone is not the estimator", "set parameters in __init__ unchanged, nowhere else"),
    )


@_restoring
def check_pickle(estimator: Any, setup: Setup) -> Equivalence:
    """A fitted estimator that was pickled and unpickled is the same and predicts the same."""
    fitted = _fit(_seeded_copy(estimator), setup)
    return _begin("pickle").conclude(
        Trial("fitted", _everything(fitted, setup)),
        [Trial("pickled and unpickled", _everything(_tools().pass_through_memory(fitted), setup))],
        explain_pickle,
    )


@_restoring
def check_n_jobs(estimator: Any, setup: Setup) -> Equivalence:
    """One job and two jobs give the same."""
    results = [_everything(_fit(_seeded_copy(estimator, n_jobs=n), setup), setup) for n in (1, 2)]
    return _begin("n_jobs").conclude(
        Trial("n_jobs=1", results[0]),
        [Trial("n_jobs=2", results[1])],
        explain_n_jobs,
    )


@_restoring
def check_predict_row_order(estimator: Any, setup: Setup) -> Equivalence:
    """A row's prediction does not depend on where the row stands."""
    tools = _tools()
    fitted = _fit(_seeded_copy(estimator), setup)
    order = np.random.default_rng(0).permutation(len(setup.X))
    back = np.argsort(order)
    moved = tools.compute_outputs(fitted, tools.permute(setup.X, order))
    inquiry = _begin("predict_row_order", Tolerance(norm=ROW_ORDER_NORM))
    return inquiry.conclude(
        Trial("rows as given", capture_tree(tools.compute_outputs(fitted, setup.X))),
        [Trial("rows permuted", capture_tree({name: value[back] for name, value in moved.items()}))],
        explain("estimator.row_order: a prediction depends on the other rows", "use what was fitted, not the batch"),
    )


@_restoring
def check_global_seed(estimator: Any, setup: Setup) -> Equivalence:
    """With random_state=None, seeding the global generators decides all."""
    inquiry = _begin("global_seed")

    def fit(**changes: Any) -> Artifacts:
        seeding.seed_everything(0)
        return _everything(_fit(_tools().copy_with(estimator, random_state=None, **changes), setup), setup)

    def explain_difference(found: Sequence[Deviation]) -> Explanation:
        """Threads that race look like entropy; on one thread they do not."""
        with (
            tempfile.TemporaryDirectory(prefix="pytest-repro-threads-") as scratch,
            find_axis("threads").apply(1, AxisContext(Path(scratch))),
        ):
            alone = [fit(n_jobs=1) for _ in range(FITS)]
        repeats = all(inquiry.compare(other, alone[0], exactly=True) for other in alone[1:])
        return explain_global_seed(found, repeats_on_one_thread=repeats, fits=FITS)

    # What has jobs may race, and a race need not show at once.
    results = [fit() for _ in range(FITS if _has("n_jobs")(estimator) else 2)]
    return inquiry.conclude(
        Trial("random_state=None under a global seed", results[0]),
        [Trial(f"fitted again under it ({k})", result) for k, result in enumerate(results[1:], 1)],
        explain_difference,
    )


@_restoring
def check_fit_twice(estimator: Any, setup: Setup) -> Equivalence:
    """Fitting one object a second time gives what the first fit gave."""
    fitted = _fit(_seeded_copy(estimator), setup)
    first = _everything(fitted, setup)
    return _begin("fit_twice").conclude(
        Trial("fitted once", first),
        [Trial("the same object fitted again", _everything(_fit(fitted, setup), setup))],
        explain("estimator.fit_twice: the first fit leaves something to the second", "reset all state in fit()"),
    )


@_restoring
def check_float32(estimator: Any, setup: Setup) -> Equivalence:
    """float32 data give what float64 data give, within a norm that is told."""
    tools = _tools()
    methods = tools.continuous_methods(estimator)
    results = []
    for X in (setup.X, tools.as_float32(setup.X)):  # noqa: N806
        fitted = tools.fit(_seeded_copy(estimator), X, setup.y)
        outputs = tools.compute_outputs(fitted, X, methods)
        results.append({name: np.asarray(value, np.float64) for name, value in outputs.items()})
    inquiry = _begin("float32", Tolerance(norm=setup.float32_norm, norm_cap=1e6))
    inquiry.notes.append(f"allowed: norm={setup.float32_norm:g} on {', '.join(results[0])}")
    return inquiry.conclude(
        Trial("float64 data", capture_tree(results[0])),
        [Trial("float32 data", capture_tree(results[1]))],
        explain("estimator.float32: single precision changes the result", "convert in fit(), or scale the data first"),
    )


@_restoring
def check_threads(estimator: Any, setup: Setup) -> Equivalence:
    """Any number of threads in OpenMP and BLAS gives the same."""
    axis = find_axis("threads")
    trials = []
    inquiry = _begin("threads")
    with tempfile.TemporaryDirectory(prefix="pytest-repro-threads-") as scratch:
        for count in setup.threads:
            with axis.apply(count, AxisContext(Path(scratch))):
                result = _everything(_fit(_seeded_copy(estimator), setup), setup)
                inquiry.notes += [f"{count} threads: {name} {why}" for name, why in axis.verify(count).problems]
            trials.append(Trial(f"{count} thread{'' if count == 1 else 's'}", result))

    def explain_threads(found: Sequence[Deviation]) -> Explanation:
        small = all(is_rounding(deviation.comparison) for deviation in found)
        return Explanation(
            "estimator.threads: "
            + ("sums split among threads round differently" if small else "threads change the fit"),
            (f"{found[0].varied}: {tell_distance(found[0].comparison)}",),
            "limit threads where results are compared: threadpoolctl.threadpool_limits(1), or OMP_NUM_THREADS=1",
        )

    return inquiry.conclude(trials[0], trials[1:], explain_threads)


@_restoring
def check_race(estimator: Any, setup: Setup) -> Equivalence:
    """Repeats with more jobs than cores agree, bit for bit."""
    tools = _tools()
    jobs = max(3, 2 * Machine.here().cores + 1)
    fitted = _fit(_seeded_copy(estimator, n_jobs=jobs), setup)
    results = [capture_tree(tools.compute_outputs(fitted, setup.X)) for _ in range(setup.repeats)]
    return _begin("race").conclude(
        Trial(f"predicted with n_jobs={jobs}", results[0]),
        [Trial(f"again ({k})", result) for k, result in enumerate(results[1:], 1)],
        explain(
            "estimator.race: jobs add into one array in the order in which they end",
            "predict with n_jobs=1: model.set_params(n_jobs=1)",
        ),
    )


def _has(name: str) -> Callable[[Any], bool]:
    return lambda estimator: bool(_tools().has_parameter(estimator, name))


def _always(estimator: Any) -> bool:
    return True


def _predicts(estimator: Any) -> bool:
    return any(hasattr(estimator, method) for method in _tools().METHODS)


def _is_continuous(estimator: Any) -> bool:
    return any(hasattr(estimator, method) for method in _tools().continuous_methods(estimator))


def _starts_cold(estimator: Any) -> bool:
    return not any(value for name, value in _tools().parameters_of(estimator).items() if name.endswith("warm_start"))


def _races(estimator: Any) -> bool:
    return _has("n_jobs")(estimator) and _predicts(estimator)


#: Name -> check, and whether it applies to an estimator.
CHECKS: dict[str, tuple[Check, Callable[[Any], bool]]] = {
    "same_random_state": (check_same_random_state, _always),
    "clone": (check_clone, _always),
    "pickle": (check_pickle, _always),
    "n_jobs": (check_n_jobs, _has("n_jobs")),
    "predict_row_order": (check_predict_row_order, _predicts),
    "global_seed": (check_global_seed, _has("random_state")),
    "fit_twice": (check_fit_twice, _starts_cold),
    "float32": (check_float32, _is_continuous),
    "threads": (check_threads, _always),
    "race": (check_race, _races),
}
