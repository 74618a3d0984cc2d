"""The assertion functions: nothing may differ unless a bound says so, and nothing compared is no pass."""

from __future__ import annotations

from typing import Any

from pytest_repro.comparing.live import AnyTolerance, compare
from pytest_repro.comparing.message import describe_comparison, join_sections
from pytest_repro.comparing.predictions import describe_flips
from pytest_repro.errors import DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import Comparison, Verdict

_NOTHING = "inconclusive: there was nothing to compare; give arrays, tensors, modules or numbers, not empty containers"


def assert_identical(actual: Any, expected: Any) -> None:
    """Assert that two values are the same in every bit, type, shape and name.

    Parameters
    ----------
    actual, expected : object
        Any nesting of containers, arrays, tensors, modules, estimators and plain values.

    Raises
    ------
    DivergenceError
        If anything differs; the message tells every artifact that does.
    InconclusiveError
        If there was nothing to compare.
    """
    __tracebackhide__ = True
    _raise_unless(compare(actual, expected))


def assert_close(
    actual: Any,
    expected: Any,
    *,
    max_ulp: int = 0,
    rtol: float = 0.0,
    atol: float = 0.0,
    norm: float | None = None,
    tolerance: AnyTolerance = None,
) -> None:
    """Assert that two values differ by no more than allowed; by default that is nothing.

    Parameters
    ----------
    actual, expected : object
    max_ulp : int
        Distance [ulp] that an element of a floating-point artifact may have.
    rtol, atol : float
        An element may differ by ``atol + rtol * |expected|``.
    norm : float, optional
        Bound on ``||actual - expected||_2 / ||expected||_2`` of each artifact.
    tolerance : Tolerance or mapping of glob -> Tolerance, optional
        In place of the bounds.

    Raises
    ------
    DivergenceError, InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    _raise_unless(compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm))


def assert_weights_close(
    actual: Any,
    expected: Any,
    *,
    max_ulp: int = 0,
    rtol: float = 0.0,
    atol: float = 0.0,
    norm: float | None = None,
    tolerance: AnyTolerance = None,
) -> None:
    """Assert that the weights of two models differ by no more than allowed; by default that is nothing.

    Parameters
    ----------
    actual, expected : module, state dict, estimator, or dict of arrays
    max_ulp, rtol, atol, norm, tolerance
        As for :func:`assert_close`.

    Raises
    ------
    DivergenceError, InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    _raise_unless(compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm))


def assert_predictions_close(
    actual: Any,
    expected: Any,
    *,
    max_ulp: int = 0,
    rtol: float = 0.0,
    atol: float = 0.0,
    norm: float | None = None,
    tolerance: AnyTolerance = None,
) -> None:
    """Assert that predictions differ by no more than allowed, and tell which classes changed.

    Parameters
    ----------
    actual, expected : array or tree of arrays
        Two dimensions of numbers are scores, a row for each sample: a class is their argmax. One dimension of
        integers, bools or text holds classes themselves. One dimension of floats has none.
    max_ulp, rtol, atol, norm, tolerance
        As for :func:`assert_close`.

    Raises
    ------
    DivergenceError
        The message adds the churn: how many rows changed class, its 95 % interval, which rows.
    InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    comparison = compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm)
    flips = describe_flips(actual, expected) if comparison.verdict is Verdict.DIVERGED else ""
    _raise_unless(comparison, flips)


def assert_metrics_close(
    actual: Any,
    expected: Any,
    *,
    max_ulp: int = 0,
    rtol: float = 0.0,
    atol: float = 0.0,
    norm: float | None = None,
    tolerance: AnyTolerance = None,
) -> None:
    """Assert that metrics differ by no more than allowed; by default that is nothing.

    Parameters
    ----------
    actual, expected : number, or dict of name -> number (nested too)
    max_ulp, rtol, atol, norm, tolerance
        As for :func:`assert_close`.

    Raises
    ------
    DivergenceError, InconclusiveError
    UsageError
        If something else than a number is given: a metric that is an array was not reduced yet.
    """
    __tracebackhide__ = True
    for side, value in (("actual", actual), ("expected", expected)):
        _require_numbers(value, side)
    _raise_unless(compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm))


def _require_numbers(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            _require_numbers(child, f"{where}[{key!r}]")
        return
    if isinstance(value, (str, bytes, list, tuple)) or value is None:
        raise UsageError(f"{where} must be a number or a dict of numbers, got a {type(value).__name__}")
    count = _count_values(value)
    if count != 1:
        raise UsageError(f"{where} holds {count} values, but a metric is one number; use assert_close for arrays")


def _count_values(value: Any) -> int:
    if hasattr(value, "numel"):  # a tensor, whose `size` is a method
        return int(value.numel())
    size = getattr(value, "size", 1)
    return size if isinstance(size, int) else 1


def _raise_unless(comparison: Comparison, more: str = "") -> None:
    __tracebackhide__ = True
    if comparison.verdict is Verdict.INCONCLUSIVE:
        raise InconclusiveError(_NOTHING)
    if not comparison:
        raise DivergenceError(join_sections(describe_comparison(comparison), more))
