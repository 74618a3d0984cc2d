"""Comparison of two values: trees of arrays, tensors, modules, estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.artifacts import compare_artifacts
from pytest_repro.comparing.shortcut import Unequal, strip_equal
from pytest_repro.errors import UsageError
from pytest_repro.model import Comparison, Tolerance, TolerancePolicy
from pytest_repro.undisturbed import undisturbed

#: Artifact name of a value that is not a container.
ROOT = "result"
_BOUNDS = ("max_ulp", "rtol", "atol", "norm")

AnyTolerance = Tolerance | Mapping[str, Tolerance] | TolerancePolicy | None


@undisturbed
def compare(actual: Any, expected: Any, tolerance: AnyTolerance = None, **bounds: Any) -> Comparison:
    """Compare two values leaf by leaf and bit by bit.

    Parameters
    ----------
    actual, expected : object
        Any nesting of containers, arrays, tensors, modules, estimators and plain values.
    tolerance : Tolerance or mapping of glob -> Tolerance, optional
        Allowed differences. By default nothing may differ.
    **bounds
        `max_ulp`, `rtol`, `atol`, `norm`: shorthand for one `Tolerance` for all artifacts.

    Returns
    -------
    Comparison
        True if something was compared and every difference is allowed.

    Raises
    ------
    UsageError
        If a bound is unknown or impossible, or a glob matches no artifact.
    UnsupportedTypeError
        If a value has a type that cannot be compared bit for bit.

    Examples
    --------
    >>> import numpy as np
    >>> found = compare({"w": np.array([1.0, 2.0])}, {"w": np.array([1.0, 2.5])})
    >>> bool(found)
    False
    >>> [(each.artifact, each.differing, each.max_abs) for each in found.divergences]
    [('w', 1, 0.5)]
    """
    policy = make_policy(tolerance, bounds)
    if any(pattern != "*" for pattern, _ in policy.rules) or any(rule.rule != "bounds" for _, rule in policy.rules):
        return _compare_trees(actual, expected, policy)  # globs must be matched against every name
    found = strip_equal(actual, expected)
    if found is None:
        return _compare_trees(actual, expected, policy)
    if not isinstance(found, Unequal):
        return Comparison((), *found)
    rest = _compare_trees(found.actual, found.expected, policy)
    artifacts, elements = rest.artifacts + found.artifacts, rest.elements + found.elements
    return Comparison(rest.differences, artifacts, elements, rest.not_compared)


def compare_for_bench(actual: Any, expected: Any, max_ulp: int) -> Comparison:
    """Compare with a `max_ulp` bound, as `benchmarks/compare.py` and the benchmark of other tools do."""
    return compare(actual, expected, Tolerance(max_ulp=max_ulp))


def make_policy(tolerance: AnyTolerance, bounds: Mapping[str, Any]) -> TolerancePolicy:
    """Return the policy for a tolerance or for bounds, only one of which may be given.

    Raises
    ------
    UsageError
        If a bound is unknown or impossible, or both a tolerance and bounds are given.
    """
    unknown = [name for name in bounds if name not in _BOUNDS]
    if unknown:
        raise UsageError(f"unknown bound {unknown[0]!r}; the bounds are {', '.join(_BOUNDS)}")
    given = {name: value for name, value in bounds.items() if value is not None}
    bound = Tolerance(**given)  # checks the bounds
    if tolerance is None:
        return TolerancePolicy.of(bound)
    if bound != Tolerance():
        raise UsageError("pass either tolerance= or bounds (max_ulp, rtol, atol, norm), not both")
    return TolerancePolicy.of(tolerance)


def _compare_trees(actual: Any, expected: Any, policy: TolerancePolicy) -> Comparison:
    left = capture_tree(actual, root=ROOT, copy=False)
    right = capture_tree(expected, root=ROOT, copy=False)
    return compare_artifacts(left, right, policy)
