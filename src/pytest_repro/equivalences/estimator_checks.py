"""reproducible_estimator_checks: properties that users of scikit-learn rely on, as parameters of a pytest test."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.comparing.judgements import judged
from pytest_repro.equivalences.arguments import check_choice, check_count, check_counts, require_package
from pytest_repro.equivalences.experiment import (
    Deviation,
    Equivalence,
    Experiment,
    Explain,
    Explanation,
    Trial,
    restored_generators,
    scratch_folder,
)
from pytest_repro.errors import CaptureError
from pytest_repro.frameworks.attributes import full_name, is_library_class
from pytest_repro.model import Artifacts, NotCompared, Tolerance, TolerancePolicy

_NAME = "reproducible_estimator_checks"
#: Bound for rows in another order: a row moves to another part of a vectorised loop, where float64 rounds differently.
ROW_ORDER_NORM = 1e-12
#: Number of fits to compare if threads may race, and of fits on one thread that distinguish a race from entropy.
FITS = 5


@dataclass(frozen=True, slots=True)
class Setup:
    """Arguments of :func:`reproducible_estimator_checks`, where `y` is None for an estimator that takes none."""

    X: Any
    y: Any
    threads: tuple[int, ...]
    repeats: int
    float32_norm: float


#: Takes an estimator and a setup, and raises unless the estimator passes.
Check = Callable[..., Equivalence]
#: Name -> check, and whether it applies to an estimator.
CHECKS: dict[str, tuple[Check, Callable[[Any], bool]]] = {}


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
        It is never fitted or changed, since each check works on clones.
    X, y : arrays, optional
        Data to fit. By default noisy classes or a noisy linear target and 20 features, or 100 features, depending on
        the type of the estimator.
    rows : int
        Number of rows of the default data. If there are too few for threads to share, their effect is hidden.
    threads : sequence of int, optional
        By default 1, 2, and the odd number above the cores.
    repeats : int
        Number of predictions compared with each other, with more jobs than cores.
    float32_norm : float
        Largest norm of the difference that float32 data may cause, relative to the norm of the result.
    skip : sequence of str
        Names of checks to omit.

    Returns
    -------
    list of pytest.param
        The ids are the names of the checks: ``same_random_state``, ``clone``, ``pickle``, ``n_jobs``,
        ``predict_row_order``, ``global_seed``, ``fit_twice``, ``float32``, ``threads``, ``race``.

    Raises
    ------
    UsageError
        If this is not an estimator, or `skip` names an unknown check.
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

    require_package(_NAME, "sklearn", "sklearn")
    tools = _tools()
    tools.require_estimator(estimator)
    for name in skip:
        check_choice(_NAME, "skip", name, CHECKS)
    check_count(_NAME, "rows", rows, least=10)
    given: Any = find_axis("threads").default_values(Machine.here()) if threads is None else threads
    if X is None:
        X, y = tools.make_data(estimator, rows)  # noqa: N806
    counts = check_counts(_NAME, "threads", given)
    setup = Setup(X, y, counts, check_count(_NAME, "repeats", repeats, least=2), float32_norm)
    return [
        pytest.param(estimator, functools.partial(check, setup=setup), id=f"{type(estimator).__name__}-{name}")
        for name, (check, applies) in CHECKS.items()
        if name not in skip and applies(estimator)
    ]


def _tools() -> Any:
    return importlib.import_module("pytest_repro.frameworks.sklearn_checks")


def _check(
    name: str, applies: Callable[[Any], bool] = lambda estimator: True
) -> Callable[[Callable[[Experiment, Any, Setup], Equivalence]], Check]:
    """Register a check, which gets an experiment, and after which every generator is restored."""

    def register(function: Callable[[Experiment, Any, Setup], Equivalence]) -> Check:
        @judged
        @functools.wraps(function)
        def check(estimator: Any, setup: Setup) -> Equivalence:
            __tracebackhide__ = True
            with restored_generators():
                return function(Experiment.begin(f"estimator check {name}", None, {}), estimator, setup)

        CHECKS[name] = (check, applies)
        return check

    return register


def _has(parameter: str) -> Callable[[Any], bool]:
    return lambda estimator: bool(_tools().has_parameter(estimator, parameter))


def _predicts(estimator: Any) -> bool:
    return any(hasattr(estimator, method) for method in _tools().METHODS)


def _is_continuous(estimator: Any) -> bool:
    return any(hasattr(estimator, method) for method in _tools().continuous_methods(estimator))


def _starts_cold(estimator: Any) -> bool:
    return not any(value for name, value in _tools().parameters_of(estimator).items() if name.endswith("warm_start"))


def _seeded_copy(estimator: Any, **changes: Any) -> Any:
    """Return a clone in which every `random_state` that is not an integer is 0."""
    tools = _tools()
    unseeded = {
        name: 0
        for name, value in tools.parameters_of(estimator).items()
        if (name == "random_state" or name.endswith("__random_state")) and not isinstance(value, int)
    }
    return tools.copy_with(estimator, **changes).set_params(**unseeded)


def _fit(estimator: Any, setup: Setup, seed: int = 0) -> Any:
    """Fit with the global generators seeded, so that an estimator that draws from them fails only its own check."""
    seeding.seed_everything(seed)
    return _tools().fit(estimator, setup.X, setup.y)


def _everything(estimator: Any, setup: Setup) -> Artifacts:
    """Capture the fitted attributes and the results of every method."""
    tools = _tools()
    artifacts = capture_tree(tools.compute_outputs(estimator, setup.X))
    for name, value in tools.fitted_attributes(estimator).items():
        path = f"fitted/{name}"
        try:
            found = capture_tree(value, root=path, top_level=False)
        except CaptureError as error:
            # The content of a library's internal object shows in the results of the methods.
            is_state = not is_library_class(type(estimator))
            omitted = NotCompared(path, full_name(type(value)), error.reason or str(error), is_state)
            found = Artifacts(not_compared=[omitted])
        merge(artifacts, found, where="the fitted attributes")
    return artifacts


def _fit_everything(estimator: Any, setup: Setup, seed: int = 0) -> Artifacts:
    return _everything(_fit(estimator, setup, seed), setup)


def _once_stable(
    experiment: Experiment, first: Artifacts, repeat: Callable[[], Artifacts], what: str, explain: Explain
) -> Explain:
    """Explain differences only if a repeat of the baseline matches: otherwise nothing that was varied is to blame."""

    def explain_if_stable(deviations: Sequence[Deviation]) -> Explanation:
        fix = "set every random_state, or fit and predict on one thread"
        experiment.require_stable(first, repeat(), what, fix)
        return explain(deviations)

    return explain_if_stable


def _always(code: str, *, meaning: str = "", fix: str = "") -> Explain:
    """Explain every difference by one cause."""
    return lambda deviations: Explanation.of(code, deviations[0].describe(), meaning=meaning, fix=fix)


def _is_rounding_of_outputs(deviation: Deviation) -> bool:
    """Return whether all fitted attributes are the same, and only the results computed from them are rounded."""
    divergences = deviation.comparison.divergences
    return deviation.is_rounding and not any(d.artifact.startswith("fitted/") for d in divergences)


@_check("same_random_state")
def check_same_random_state(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require two fits with one random_state to be identical, whatever the state of the global generators."""

    def fit(seed: int) -> Artifacts:
        return _fit_everything(_seeded_copy(estimator), setup, seed)

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        evidence = deviations[0].describe()
        if experiment.compare(fit(1), results[0], exactly=True):
            held = "with one seed of the global generators, two fits are identical"
            meaning = "a part draws from a global generator"
            return Explanation.of("estimator.random_state", evidence, held, meaning=meaning)
        held = "with one seed of the global generators, two fits differ too"
        return Explanation.of("estimator.random_state", evidence, held, meaning="the fit does not repeat")

    results = [fit(seed) for seed in (1, 2)]
    return experiment.conclude(
        Trial("fitted with random_state set", results[0]),
        [Trial("fitted again, with another seed of the global generators", results[1])],
        explain,
    )


@_check("clone")
def check_clone(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require a clone of a fitted estimator to fit identically."""
    fitted = _fit(_seeded_copy(estimator), setup)
    again = _fit(_tools().copy_with(fitted), setup)
    first = _everything(fitted, setup)

    def repeat() -> Artifacts:
        return _fit_everything(_seeded_copy(estimator), setup)

    return experiment.conclude(
        Trial("fitted", first),
        [Trial("a clone of it, fitted", _everything(again, setup))],
        _once_stable(experiment, first, repeat, "the fit", _always("estimator.clone")),
    )


@_check("pickle")
def check_pickle(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require an unpickled copy of a fitted estimator to be identical and to predict the same."""
    fitted = _fit(_seeded_copy(estimator), setup)
    first = _everything(fitted, setup)

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        shown = deviations[0]
        if not _is_rounding_of_outputs(shown):
            return Explanation.of("estimator.pickle", shown.describe())
        # PCA's components_ are a view in Fortran order before, and C-contiguous after, and BLAS uses another kernel.
        loaded = _tools().pass_through_memory(fitted)
        changed = _restore_layouts(fitted, loaded)
        if changed and experiment.compare(_everything(loaded, setup), first, exactly=True):
            held = f"with the memory layout of {', '.join(changed)} restored, the results are identical"
            return Explanation.of("estimator.layout", shown.describe(), held)
        suspect = Explanation.of("estimator.layout", shown.describe())
        return replace(suspect, cause="", suspected=suspect.cause)

    return experiment.conclude(
        Trial("fitted", first),
        [Trial("pickled and unpickled", _everything(_tools().pass_through_memory(fitted), setup))],
        _once_stable(experiment, first, lambda: _everything(fitted, setup), "the prediction", explain),
    )


def _restore_layouts(fitted: Any, loaded: Any) -> list[str]:
    """Give the fitted arrays of an unpickled estimator their former memory layout, and return the names of those."""
    changed = []
    for name, value in _tools().fitted_attributes(fitted).items():
        other = getattr(loaded, name, None)
        if not isinstance(value, np.ndarray) or not isinstance(other, np.ndarray) or value.strides == other.strides:
            continue
        storage = value.base if isinstance(value.base, np.ndarray) else value
        placed = np.empty_like(storage, order="K")
        view = np.lib.stride_tricks.as_strided(placed, value.shape, value.strides)
        if value.size * value.itemsize > placed.nbytes or min(value.strides, default=0) < 0:
            continue
        view[...] = other
        setattr(loaded, name, view)
        changed.append(name)
    return changed


@_check("n_jobs", _has("n_jobs"))
def check_n_jobs(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require one job and two jobs to be identical."""

    def fit(jobs: int) -> Artifacts:
        return _fit_everything(_seeded_copy(estimator, n_jobs=jobs), setup)

    one, two = (Trial(f"n_jobs={jobs}", fit(jobs)) for jobs in (1, 2))
    explain = _once_stable(experiment, one.artifacts, lambda: fit(1), "the fit with n_jobs=1", _explain_n_jobs)
    return experiment.conclude(one, [two], explain)


def _explain_n_jobs(deviations: Sequence[Deviation]) -> Explanation:
    evidence = deviations[0].describe()
    if _is_rounding_of_outputs(deviations[0]):
        return Explanation.of(
            "estimator.n_jobs",
            evidence,
            "every fitted attribute is identical",
            meaning="the same was fitted, and predicting sums the jobs' results in another order",
            fix="predict with n_jobs=1 where bits matter, or allow rounding: skip=['n_jobs'] and norm=1e-12",
        )
    return Explanation.of("estimator.n_jobs", evidence)


@_check("predict_row_order", _predicts)
def check_predict_row_order(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require the prediction of a row not to depend on its position, within rounding of float64."""
    tools = _tools()
    fitted = _fit(_seeded_copy(estimator), setup)
    order = np.random.default_rng(0).permutation(len(setup.X))
    moved = tools.compute_outputs(fitted, tools.permute(setup.X, order))
    moved_back = {name: value[np.argsort(order)] for name, value in moved.items()}
    allowed = TolerancePolicy.of(Tolerance(norm=ROW_ORDER_NORM))

    def predict() -> Artifacts:
        return capture_tree(tools.compute_outputs(fitted, setup.X))

    first = predict()
    return experiment.conclude(
        Trial("rows as given", first),
        [Trial("rows permuted", capture_tree(moved_back), policy=allowed)],
        _once_stable(experiment, first, predict, "the prediction", _always("estimator.row_order")),
    )


@_check("global_seed", _has("random_state"))
def check_global_seed(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require a fit with random_state=None to depend only on the seed of the global generators."""

    def fit(**changes: Any) -> Artifacts:
        return _fit_everything(_tools().copy_with(estimator, random_state=None, **changes), setup)

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        # A race between threads looks like entropy, but disappears on one thread.
        with scratch_folder("threads") as folder, find_axis("threads").apply(1, AxisContext(folder)):
            first, *others = (fit(n_jobs=1) for _ in range(FITS))
        evidence = deviations[0].describe()
        if all(experiment.compare(other, first, exactly=True) for other in others):
            alone = f"with one thread and n_jobs=1, {FITS} fits with the same seed are identical"
            return Explanation.of("estimator.race", evidence, alone)
        alone = "with one thread and n_jobs=1 too, fits with the same seed differ"
        return Explanation.of("estimator.global_seed", evidence, alone)

    # Jobs may race, which need not show in the first repeat.
    results = [fit() for _ in range(FITS if _has("n_jobs")(estimator) else 2)]
    return experiment.conclude(
        Trial("random_state=None with a global seed", results[0]),
        [Trial(f"fitted again with it ({k})", result) for k, result in enumerate(results[1:], 1)],
        explain,
    )


@_check("fit_twice", _starts_cold)
def check_fit_twice(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require a second fit of the same object to be identical to the first."""
    fitted = _fit(_seeded_copy(estimator), setup)
    first = _everything(fitted, setup)
    return experiment.conclude(
        Trial("fitted once", first),
        [Trial("the same object fitted again", _fit_everything(fitted, setup))],
        _once_stable(
            experiment,
            first,
            lambda: _fit_everything(_seeded_copy(estimator), setup),
            "the fit of a new copy",
            _always("estimator.fit_twice"),
        ),
    )


@_check("float32", _is_continuous)
def check_float32(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require results of float32 data to match those of float64 data, within the norm of the setup."""
    tools = _tools()
    methods = tools.continuous_methods(estimator)

    def fit(X: Any) -> dict[str, Any]:  # noqa: N803
        seeding.seed_everything(0)
        fitted = tools.fit(_seeded_copy(estimator), X, setup.y)
        outputs = tools.compute_outputs(fitted, X, methods)
        return {name: np.asarray(value, np.float64) for name, value in outputs.items()}

    results = [fit(setup.X), fit(tools.as_float32(setup.X))]
    first = capture_tree(results[0])
    experiment.notes.append(f"allowed: norm={setup.float32_norm:g} on {', '.join(results[0])}")
    allowed = TolerancePolicy.of(Tolerance(norm=setup.float32_norm, norm_cap=1e6))
    return experiment.conclude(
        Trial("float64 data", first),
        [Trial("float32 data", capture_tree(results[1]), policy=allowed)],
        _once_stable(experiment, first, lambda: capture_tree(fit(setup.X)), "the fit", _always("estimator.float32")),
    )


@_check("threads")
def check_threads(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require the result not to depend on the number of threads in OpenMP and BLAS."""
    axis = find_axis("threads")
    problems: list[str] = []

    def fit(count: int) -> Artifacts:
        with scratch_folder("threads") as folder, axis.apply(count, AxisContext(folder)):
            result = _fit_everything(_seeded_copy(estimator), setup)
            problems.extend(f"{axis.describe(count)}: {name} {why}" for name, why in axis.verify(count).problems)
            return result

    trials = [Trial(axis.describe(count), fit(count)) for count in setup.threads]
    experiment.notes += problems
    what = f"the fit with {trials[0].varied}"
    first = trials[0].artifacts
    explain = _once_stable(experiment, first, lambda: fit(setup.threads[0]), what, _explain_threads)
    return experiment.conclude(trials[0], trials[1:], explain)


def _explain_threads(deviations: Sequence[Deviation]) -> Explanation:
    is_rounding = all(deviation.is_rounding for deviation in deviations)
    meaning = "sums split among threads round differently" if is_rounding else ""
    return Explanation.of("estimator.threads", deviations[0].describe(), meaning=meaning)


@_check("race", lambda estimator: _has("n_jobs")(estimator) and _predicts(estimator))
def check_race(experiment: Experiment, estimator: Any, setup: Setup) -> Equivalence:
    """Require repeated predictions with more jobs than cores to be identical."""
    tools = _tools()
    jobs = max(3, 2 * Machine.here().cores + 1)
    fitted = _fit(_seeded_copy(estimator, n_jobs=jobs), setup)

    def predict() -> list[Artifacts]:
        return [capture_tree(tools.compute_outputs(fitted, setup.X)) for _ in range(setup.repeats)]

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        fitted.set_params(n_jobs=1)
        alone, *again = predict()
        for other in again:
            experiment.require_stable(
                alone, other, "the prediction with n_jobs=1", "draw no random numbers in predict()"
            )
        return Explanation.of(
            "estimator.race",
            deviations[0].describe(),
            f"with n_jobs=1, {setup.repeats} predictions are identical",
            meaning="the result depends on the order in which the jobs end",
            fix="predict with n_jobs=1: model.set_params(n_jobs=1)",
        )

    first, *others = predict()
    return experiment.conclude(
        Trial(f"predicted with n_jobs={jobs}", first),
        [Trial(f"again ({k})", result) for k, result in enumerate(others, 1)],
        explain,
    )
