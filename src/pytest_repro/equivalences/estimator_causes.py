"""Why an estimator's check fails: state that was lost or drawn, told from other kernels and orders of summation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_repro.equivalences.findings import Deviation, Explanation
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance
from pytest_repro.model import Comparison


def explain(cause: str, fix: str) -> Callable[[Sequence[Deviation]], Explanation]:
    """Return what names one cause, with the distance as evidence."""
    return lambda found: Explanation(cause, (f"{found[0].varied}: {tell_distance(found[0].comparison)}",), fix)


def explain_pickle(found: Sequence[Deviation]) -> Explanation:
    """Tell another layout in memory from state that was lost."""
    comparison = found[0].comparison
    evidence = f"{found[0].varied}: {tell_distance(comparison)}"
    if _is_rounding_of_outputs(comparison):
        # PCA's components_ are a view in Fortran order before, and C-contiguous after: BLAS takes another kernel.
        return Explanation(
            "estimator.layout: all that was fitted is the same, but lies otherwise in memory, so other kernels compute",
            (evidence,),
            "make fitted arrays contiguous in fit(), or compare predictions of models that were all loaded",
        )
    return Explanation("estimator.pickle: the estimator loses state", (evidence,), "keep fitted state in attributes")


def explain_n_jobs(found: Sequence[Deviation]) -> Explanation:
    """Tell sums in another order from another fit."""
    comparison = found[0].comparison
    evidence = f"{found[0].varied}: {tell_distance(comparison)}"
    if _is_rounding_of_outputs(comparison):
        return Explanation(
            "estimator.n_jobs: the same was fitted, and predicting sums the jobs' results in another order",
            (evidence, "every fitted attribute is identical"),
            "predict with n_jobs=1 where bits matter, or allow rounding: skip=['n_jobs'] and compare with norm=1e-12",
        )
    return Explanation(
        "estimator.n_jobs: the result depends on the number of jobs",
        (evidence,),
        "draw a seed for each task beforehand",
    )


def explain_global_seed(found: Sequence[Deviation], *, repeats_on_one_thread: bool, fits: int) -> Explanation:
    """Tell threads that race from entropy, by fits on one thread under the same seed."""
    evidence = f"{found[0].varied}: {tell_distance(found[0].comparison)}"
    if repeats_on_one_thread:
        return Explanation(
            "estimator.race: threads of the fit write in the order in which they come",
            (evidence, f"with one thread and n_jobs=1, {fits} fits under the same seed are identical"),
            "fit on one thread: n_jobs=1, and where the estimator has no such parameter threadpool_limits(1)",
        )
    return Explanation(
        "estimator.global_seed: something draws entropy of its own",
        (evidence, "with one thread and n_jobs=1 too, fits under the same seed differ"),
        "set random_state to an integer: the global seed does not reach all of it",
    )


def _is_rounding_of_outputs(comparison: Comparison) -> bool:
    """Tell whether all that was fitted is the same, and what is computed from it rounds differently."""
    return is_rounding(comparison) and not any(d.artifact.startswith("fitted/") for d in comparison.divergences)
