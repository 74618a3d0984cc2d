"""The differences between two runs, and the verdict on them."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from pytest_repro.model.runs import NotCompared


class Verdict(str, Enum):
    """The verdict on a test whose runs were compared.

    Examples
    --------
    >>> bool(Verdict.WITHIN_TOLERANCE), bool(Verdict.INCONCLUSIVE)
    (True, False)
    >>> print(Verdict.WITHIN_TOLERANCE)
    within_tolerance
    """

    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within_tolerance"
    DIVERGED = "diverged"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"

    def __bool__(self) -> bool:
        """Return whether the results match: ``if check_reproducible(f):`` must never pass on silence."""
        return self in (Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE)

    def __str__(self) -> str:
        return self.value


DivergenceKind = Literal["values", "shape", "dtype", "structure", "nan", "missing", "extra", "type"]

#: Structural kinds come first in a report: a wrong shape explains the values below it.
KIND_ORDER: tuple[DivergenceKind, ...] = ("structure", "missing", "extra", "type", "dtype", "shape", "nan", "values")


@dataclass(frozen=True, slots=True)
class ArtifactComparison:
    """One artifact that is not bit-identical, with every figure of the comparison.

    A figure that does not apply is ``None``, such as the ulps between strings or any value once shapes differ.

    Attributes
    ----------
    within : bool
        Whether the tolerance admits it.
    elements, differing, over : int
        All elements, those whose bits differ, those beyond what was allowed.
    max_ulp : int or None
        Largest distance [ulp], exact; ``None`` if a NaN or infinity makes it meaningless.
    max_abs, max_rel, norm_rel : float or None
        Largest ``|a - e|``, largest ``|a - e| / |e|``, ``||a - e||_2 / ||e||_2``.
    nan_actual, nan_expected, inf_actual, inf_expected : int
        Counted over the elements that differ (the others have the same bits on both sides).
    ulp_histogram : tuple of int
        ``[k]`` counts the elements with a distance in ``[2**(k-1), 2**k)``; ``[0]`` those at 0 ulp with other bits.
    first_index : tuple of int or None
        Index of the first differing element (C order); `actual` and `expected` are its values, as text.
    worst_index : tuple of int or None
        Index of the element with `max_ulp` (or `max_abs` without ulps).
    allowed : str
        The tolerance, in words.
    minimum : str
        The smallest bounds that would have passed: ``max_ulp=7 (or atol=1.2e-06)``; empty if none would.
    note : str
        A sentence for the reader, such as the evidence of an automatic tolerance.
    error_ratio : float or None
        Error against a float64 reference, in multiples of the baseline's own.
    """

    artifact: str
    kind: DivergenceKind
    within: bool
    dtype: str = ""
    shape: tuple[int, ...] | None = None
    elements: int = 0
    differing: int = 0
    over: int = 0
    max_ulp: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    norm_rel: float | None = None
    nan_actual: int = 0
    nan_expected: int = 0
    inf_actual: int = 0
    inf_expected: int = 0
    ulp_histogram: tuple[int, ...] = ()
    first_index: tuple[int, ...] | None = None
    worst_index: tuple[int, ...] | None = None
    expected: str = ""
    actual: str = ""
    allowed: str = "no difference"
    minimum: str = ""
    note: str = ""
    error_ratio: float | None = None

    @property
    def severity(self) -> tuple[int, int, float, str]:
        """Sort key: structural first, then worst first."""
        distance = self.max_ulp if self.max_ulp is not None else math.inf
        return (int(self.within), KIND_ORDER.index(self.kind), -float(distance), self.artifact)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between two trees of artifacts.

    It is true only if something was compared, every difference is allowed, and no state was left out.

    Attributes
    ----------
    differences : tuple of ArtifactComparison
        Every artifact that is not bit-identical.
    artifacts, elements : int
        What was compared.
    not_compared : tuple of NotCompared
        What was not, of either side.

    Examples
    --------
    >>> from pytest_repro import compare
    >>> found = compare([1.0, 2.0], [1.0, 2.0])
    >>> found.verdict, found.artifacts
    (<Verdict.IDENTICAL: 'identical'>, 2)
    """

    differences: tuple[ArtifactComparison, ...] = ()
    artifacts: int = 0
    elements: int = 0
    not_compared: tuple[NotCompared, ...] = ()

    @property
    def divergences(self) -> tuple[ArtifactComparison, ...]:
        """Artifacts beyond what was allowed, structural first, worst first."""
        return tuple(sorted((d for d in self.differences if not d.within), key=lambda d: d.severity))

    @property
    def tolerated(self) -> tuple[ArtifactComparison, ...]:
        """Artifacts whose bits differ within what was allowed, worst first."""
        return tuple(sorted((d for d in self.differences if d.within), key=lambda d: d.severity))

    @property
    def left_out(self) -> tuple[NotCompared, ...]:
        """What was not compared and may hold a part of the result."""
        return tuple(value for value in self.not_compared if value.is_state)

    @property
    def is_identical(self) -> bool:
        """Whether something was compared and not one bit differs."""
        return self.verdict is Verdict.IDENTICAL

    @property
    def verdict(self) -> Verdict:
        """IDENTICAL, WITHIN_TOLERANCE, DIVERGED, or INCONCLUSIVE where nothing was compared or state was left out."""
        if any(not d.within for d in self.differences):
            return Verdict.DIVERGED
        if not self.artifacts or self.left_out:
            return Verdict.INCONCLUSIVE
        return Verdict.WITHIN_TOLERANCE if self.differences else Verdict.IDENTICAL

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __str__(self) -> str:
        return _describe(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _describe_briefly(comparison: Comparison) -> str:
    return f"Comparison({comparison.verdict}: {comparison.artifacts} artifacts, {len(comparison.differences)} differ)"


_describe: Callable[[Comparison], str] = _describe_briefly


def render_comparisons_with(describe: Callable[[Comparison], str]) -> None:
    """Set the function behind ``str`` and ``repr`` of a comparison: the model renders nothing itself."""
    global _describe
    _describe = describe
