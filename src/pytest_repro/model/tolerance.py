"""What may differ: bounds of an artifact, and which artifact has which."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_repro.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ between an artifact and its baseline; by default nothing, not one bit.

    Parameters
    ----------
    max_ulp : int
        Distance [ulp of the artifact's own dtype] that an element may have.
    rtol, atol : float
        An element may differ by ``atol + rtol * |expected|``; both default to 0.
    norm : float, optional
        Bound on ``||actual - expected||_2 / ||expected||_2`` of a whole artifact.
    norm_cap : float
        Under `norm`, no single element may differ by more than this multiple of
        ``norm * max|expected|``: one broken element must not hide in a large array.
    rule : {"bounds", "reference", "noise_floor"}
        How the artifact is judged; set by :meth:`auto`.
    reference : object, optional
        Under ``"reference"`` a float64 result; under ``"noise_floor"`` the sequence of jittered re-runs.
    factor : float
        Under a rule, how many times the baseline's own error is allowed.

    Raises
    ------
    UsageError
        If a bound is negative, NaN, or of another type.

    Notes
    -----
    An element passes if any elementwise bound that was given admits it (docs/adr).
    """

    max_ulp: int = 0
    rtol: float = 0.0
    atol: float = 0.0
    norm: float | None = None
    norm_cap: float = 100.0
    rule: Literal["bounds", "reference", "noise_floor"] = "bounds"
    reference: Any = field(default=None, repr=False, compare=False)
    factor: float = 5.0

    def __post_init__(self) -> None:
        if isinstance(self.max_ulp, bool) or not isinstance(self.max_ulp, int):
            raise UsageError(f"max_ulp must be a whole number of ulps, got {self.max_ulp!r}")
        if self.max_ulp < 0:
            raise UsageError(f"max_ulp must not be negative, got {self.max_ulp!r}")
        for name in ("rtol", "atol", "norm", "norm_cap", "factor"):
            bound = getattr(self, name)
            if bound is None and name == "norm":
                continue
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                raise UsageError(f"{name} must be a number, got {bound!r}")
            if math.isnan(bound):
                raise UsageError(f"{name} must not be NaN: no difference would ever be judged; give a number >= 0")
            if bound < 0:
                raise UsageError(f"{name} must not be negative, got {bound!r}")
            if math.isinf(bound):
                raise UsageError(f"{name} must be finite: an infinite bound would accept anything")

    @classmethod
    def auto(
        cls, reference: Any = None, *, jittered: Sequence[Any] | None = None, factor: float | None = None
    ) -> Tolerance:
        """Allow what rounding explains: an error like the baseline's own against a better answer.

        Parameters
        ----------
        reference : tree of float64 arrays, optional
            The same computation in float64 from the same (widened) weights and data:
            ``RMSE(actual) <= factor * RMSE(expected) + u * scale``, factor 5, 10 below 16 elements.
        jittered : sequence of trees, optional
            At least 7 re-runs of the baseline with weights moved by one ulp: the distance must stay
            within 10 times their median distance.
        """
        if (reference is None) == (jittered is None):
            raise UsageError(
                "Tolerance.auto needs exactly one of reference= (a float64 result) or jittered= (>= 7 re-runs)"
            )
        if reference is not None:
            return cls(rule="reference", reference=reference, factor=5.0 if factor is None else factor)
        assert jittered is not None
        if len(jittered) < 7:
            raise UsageError(f"the noise floor needs at least 7 jittered re-runs, got {len(jittered)}")
        return cls(rule="noise_floor", reference=tuple(jittered), factor=10.0 if factor is None else factor)

    @property
    def is_exact(self) -> bool:
        """Whether not one bit may differ."""
        return self.rule == "bounds" and not (self.max_ulp or self.rtol or self.atol or self.norm)

    def describe(self) -> str:
        """Say what is allowed, as a reader of a report needs it."""
        if self.rule == "reference":
            return f"auto: {self.factor:g} x the error against the float64 reference"
        if self.rule == "noise_floor":
            return f"auto: {self.factor:g} x the noise floor of {len(self.reference)} jittered runs"
        given = [f"{n}={v:g}" for n in ("max_ulp", "rtol", "atol", "norm") if (v := getattr(self, n))]
        return ", ".join(given) or "no difference"


@dataclass(frozen=True, slots=True)
class TolerancePolicy:
    """Tolerances by artifact glob: the first pattern that matches an artifact's path decides.

    An artifact that no pattern matches may not differ at all.

    Attributes
    ----------
    auto : bool
        Whether what no pattern but ``*`` matches is judged against a float64 run of the baseline, which has to be
        made first; ``*`` then stands for what that run cannot judge.
    """

    rules: tuple[tuple[str, Tolerance], ...] = (("*", Tolerance()),)
    auto: bool = False

    def covers(self, artifact: str) -> bool:
        """Tell whether a pattern matches the artifact."""
        return any(fnmatch.fnmatchcase(artifact, pattern) for pattern, _ in self.rules)

    @classmethod
    def of(cls, tolerance: Tolerance | Mapping[str, Tolerance] | TolerancePolicy | None) -> TolerancePolicy:
        """Take what a user may write: nothing, one tolerance, or globs to tolerances."""
        if tolerance is None:
            return cls()
        if isinstance(tolerance, TolerancePolicy):
            return tolerance
        if isinstance(tolerance, Tolerance):
            return cls((("*", tolerance),))
        if not isinstance(tolerance, Mapping):
            raise UsageError(
                f"tolerance must be a Tolerance or a mapping of glob -> Tolerance, got {type(tolerance).__name__}"
            )
        for pattern, value in tolerance.items():
            if not isinstance(pattern, str) or not isinstance(value, Tolerance):
                raise UsageError(f"tolerance maps a glob (str) to a Tolerance, got {pattern!r}: {value!r}")
        if not tolerance:
            raise UsageError(
                'tolerance={} allows nothing and says nothing; leave it out, or write {"*": Tolerance(...)}'
            )
        return cls(tuple(tolerance.items()))

    def find(self, artifact: str) -> Tolerance:
        """Return the tolerance of one artifact."""
        for pattern, tolerance in self.rules:
            if pattern == "*" or fnmatch.fnmatchcase(artifact, pattern):
                return tolerance
        return Tolerance()

    def unmatched(self, artifacts: Sequence[str]) -> tuple[str, ...]:
        """Return the globs that match no artifact: a misspelt name must not pass for a bound (``*`` is exempt)."""
        return tuple(p for p, _ in self.rules if p != "*" and not fnmatch.filter(artifacts, p))
