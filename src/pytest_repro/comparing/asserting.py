"""The assertion functions, which by default allow no difference and fail if nothing was compared."""

from __future__ import annotations

from typing import Any

from pytest_repro.comparing.judgements import judged, note_tolerated
from pytest_repro.comparing.live import AnyTolerance, compare
from pytest_repro.comparing.message import ASSERTION_WIDTH, describe_comparison, describe_left_out, join_sections
from pytest_repro.comparing.predictions import describe_flips
from pytest_repro.errors import DivergenceError, InconclusiveError, UsageError
from pytest_repro.model import Comparison, Verdict
from pytest_repro.undisturbed import undisturbed

_NOTHING = "inconclusive: there was nothing to compare; pass arrays, tensors, modules or numbers, not empty containers"


@judged
def assert_identical(actual: Any, expected: Any) -> None:
    """Assert that two values are the same in every bit, type, shape and name.

    Parameters
    ----------
    actual, expected : object
        Any nesting of containers, arrays, tensors, modules, estimators and plain values.

    Raises
    ------
    DivergenceError
        If anything differs. The message lists the artifacts that do.
    InconclusiveError
        If there was nothing to compare.

    Examples
    --------
    >>> import numpy as np
    >>> assert_identical({"w": np.ones(3)}, {"w": np.ones(3)})
    >>> assert_identical(0.1 + 0.2, 0.3)
    Traceback (most recent call last):
        ...
    pytest_repro.errors.DivergenceError: ...
    """
    __tracebackhide__ = True
    _raise_unless(compare(actual, expected))


@judged
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
    """Assert that two values differ by no more than allowed.

    Parameters
    ----------
    actual, expected : object
    max_ulp : int
        Distance [ulp] allowed for an element of a floating-point artifact. By default 0, as for the other bounds.
    rtol, atol : float
        An element may differ by ``atol + rtol * |expected|``.
    norm : float, optional
        Bound on ``||actual - expected||_2 / ||expected||_2`` of each artifact.
    tolerance : Tolerance or mapping of glob -> Tolerance, optional
        Replaces the bounds.

    Raises
    ------
    DivergenceError, InconclusiveError, UsageError

    Examples
    --------
    >>> assert_close(0.1 + 0.2, 0.3, max_ulp=1)
    >>> assert_close({"a": 1.0, "b": 2.0}, {"a": 1.1, "b": 2.0}, tolerance={"a": Tolerance(rtol=0.2), "*": Tolerance()})
    """
    __tracebackhide__ = True
    _raise_unless(compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm))


@judged
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
    """Assert that the weights of two models differ by no more than allowed.

    Parameters
    ----------
    actual, expected : module, state dict, estimator, or dict of arrays
    max_ulp, rtol, atol, norm, tolerance
        As for :func:`assert_close`.

    Raises
    ------
    DivergenceError, InconclusiveError, UsageError

    Examples
    --------
    >>> import numpy as np
    >>> saved = {"layer.weight": np.ones((2, 3), np.float32)}
    >>> assert_weights_close({"layer.weight": saved["layer.weight"] * np.float32(1 + 1e-7)}, saved, max_ulp=1)
    """
    __tracebackhide__ = True
    _raise_unless(compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm))


@judged
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
    """Assert that predictions differ by no more than allowed, and list the predicted classes that changed.

    Parameters
    ----------
    actual, expected : array or tree of arrays
        A two-dimensional array of numbers holds scores, with a row for each sample whose class is the argmax. A
        one-dimensional array of integers, bools or text holds the classes. A one-dimensional array of floats has no
        classes.
    max_ulp, rtol, atol, norm, tolerance
        As for :func:`assert_close`.

    Raises
    ------
    DivergenceError
        The message adds the churn: how many rows changed class, the 95 % interval of their share, and which rows.
    InconclusiveError, UsageError

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.array([[0.2, 0.8], [0.9, 0.1]])
    >>> assert_predictions_close(scores + 1e-9, scores, atol=1e-8)
    """
    __tracebackhide__ = True
    comparison = compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm)
    flips = describe_flips(actual, expected) if comparison.verdict is Verdict.DIVERGED else ""
    _raise_unless(comparison, flips)


@judged
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
    """Assert that metrics differ by no more than allowed.

    Parameters
    ----------
    actual, expected : number, or dict of name -> number, which may be nested
    max_ulp, rtol, atol, norm, tolerance
        As for :func:`assert_close`.

    Raises
    ------
    DivergenceError, InconclusiveError
    UsageError
        If a value is not a number, such as an array that was not reduced.

    Examples
    --------
    >>> assert_metrics_close({"accuracy": 0.912}, {"accuracy": 0.91}, atol=0.005)
    """
    __tracebackhide__ = True
    for side, value in (("actual", actual), ("expected", expected)):
        _require_numbers(value, side)
    _raise_unless(compare(actual, expected, tolerance, max_ulp=max_ulp, rtol=rtol, atol=atol, norm=norm))


@undisturbed
def _require_numbers(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            _require_numbers(child, f"{where}[{key!r}]")
        return
    if isinstance(value, (str, bytes, list, tuple)) or value is None:
        raise UsageError(f"{where} must be a number or a dict of numbers, got a {type(value).__name__}")
    count = _count_values(value)
    if count != 1:
        raise UsageError(f"{where} has {count} values, but a metric is one number; use assert_close for arrays")


def _count_values(value: Any) -> int:
    if hasattr(value, "numel"):  # a tensor, whose `size` is a method
        return int(value.numel())
    size = getattr(value, "size", 1)
    return size if isinstance(size, int) else 1


@undisturbed
def _raise_unless(comparison: Comparison, more: str = "") -> None:
    __tracebackhide__ = True
    if comparison.verdict is Verdict.INCONCLUSIVE:
        left_out = describe_left_out(comparison.left_out)
        raise InconclusiveError(f"inconclusive: {left_out}" if left_out else _NOTHING)
    if not comparison:
        raise DivergenceError(join_sections(describe_comparison(comparison, width=ASSERTION_WIDTH), more))
    if comparison.verdict is Verdict.WITHIN_TOLERANCE:
        largest = comparison.tolerated[0]
        figure = f"{largest.max_abs:.2g} absolute" if largest.max_abs is not None else largest.kind
        note_tolerated(f"largest difference tolerated: {figure} in {largest.artifact or 'the value'}")
