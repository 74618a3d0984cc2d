"""Tolerances: the bounds of an artifact, and which artifact has which."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_repro.errors import UsageError

#: Relative and absolute bound of each dtype: the table that torch.testing.assert_close publishes. It has no bounds for
#: 8 bits and for long double, so neither has this one. Its bounds for quantized integers are float32's, since it reads
#: them as floats; here they may not differ.
_DEFAULT_BOUNDS = {
    "float64": (1e-7, 1e-7),
    "float32": (1.3e-6, 1e-5),
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "complex128": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
}
#: Other names of these dtypes: those of Python's numbers, and those with a byte order.
_SAME_DTYPE = {
    "float": "float64",
    "complex": "complex128",
    **{
        order + code: name
        for order in "<>"
        for code, name in (
            ("f8", "float64"),
            ("f4", "float32"),
            ("f2", "float16"),
            ("c16", "complex128"),
            ("c8", "complex64"),
        )
    },
}

_NORM_CAP = 100.0


def _exactly(bound: float) -> str:
    """Return a bound in short, and in full where the short form is of another number."""
    return short if float(short := f"{bound:g}") == bound else repr(bound)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Allowed difference between an artifact and its baseline: by default not one bit.

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
    rows : {"ordered", "unordered"}
        Whether the order of rows counts. Without it, a table (a frame, an Arrow table) or a two-dimensional array must
        have the same rows as its baseline, each as often and equal in every bit. It goes with no bound.
    rule : {"bounds", "per_dtype", "reference", "noise_floor"}
        The rule of judgement; set by :meth:`per_dtype` and :meth:`auto`.
    by_dtype : tuple of (dtype, Tolerance)
        Under ``"per_dtype"`` the bounds of an artifact of that dtype; those above are for all others.
    reference : object, optional
        Under ``"reference"`` a float64 result; under ``"noise_floor"`` the sequence of jittered re-runs.
    factor : float
        Under a rule, the allowed multiple of the baseline's own error.

    Raises
    ------
    UsageError
        If a bound is negative, NaN, or of another type.

    Notes
    -----
    An element passes if any elementwise bound that was given admits it (docs/adr).

    Examples
    --------
    >>> Tolerance(rtol=1e-6).describe()
    'rtol=1e-06'
    >>> Tolerance(rtol=-1)
    Traceback (most recent call last):
        ...
    pytest_repro.errors.UsageError: rtol must not be negative, got -1
    """

    max_ulp: int = 0
    rtol: float = 0.0
    atol: float = 0.0
    norm: float | None = None
    norm_cap: float = _NORM_CAP
    rows: Literal["ordered", "unordered"] = "ordered"
    rule: Literal["bounds", "per_dtype", "reference", "noise_floor"] = "bounds"
    reference: Any = field(default=None, repr=False, compare=False)
    factor: float = 5.0
    by_dtype: tuple[tuple[str, Tolerance], ...] = ()

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
                raise UsageError(
                    f"{name} must not be NaN, which compares false with every difference; give a number >= 0"
                )
            if bound < 0:
                raise UsageError(f"{name} must not be negative, got {bound!r}")
            if math.isinf(bound):
                raise UsageError(f"{name} must be finite: an infinite bound would accept everything")
        if self.rows not in ("ordered", "unordered"):
            raise UsageError(f"rows must be 'ordered' or 'unordered', got {self.rows!r}")
        if self.rows == "unordered" and not replace(self, rows="ordered").is_exact:
            raise UsageError(
                "rows='unordered' compares rows exactly and goes with no bound: which row to measure another one "
                "against would be a guess. Sort the rows before you return them to compare them with a bound"
            )

    @classmethod
    def auto(
        cls, reference: Any = None, *, jittered: Sequence[Any] | None = None, factor: float | None = None
    ) -> Tolerance:
        """Allow what rounding explains: an error like the baseline's own against a more exact answer.

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

    @classmethod
    def per_dtype(cls, others: Mapping[str, Tolerance] | None = None) -> Tolerance:
        """Give each artifact the usual bounds of its dtype, as ``torch.testing.assert_close`` does by default.

        Parameters
        ----------
        others : mapping of dtype -> Tolerance, optional
            For a dtype that has no default (``"float8_e4m3fn"``), or instead of one.

        Returns
        -------
        Tolerance
            ========== ======= ======
            dtype      rtol    atol
            ========== ======= ======
            float64    1e-7    1e-7
            float32    1.3e-6  1e-5
            float16    1e-3    1e-5
            bfloat16   1.6e-2  1e-5
            complex128 1e-7    1e-7
            complex64  1.3e-6  1e-5
            ========== ======= ======

            Python's float has the bounds of float64, its complex those of complex128. Nothing else may differ:
            integers, bool, text, 8-bit and quantized numbers, long double.

        Raises
        ------
        UsageError
            If `others` is not a mapping from names of dtypes to plain bounds.

        Notes
        -----
        The bounds ignore the computation: an `atol` of 1e-5 lets 1e-6 pass for -1e-6. :meth:`auto` measures its error.
        """
        bounds = {name: cls(rtol=rtol, atol=atol) for name, (rtol, atol) in _DEFAULT_BOUNDS.items()}
        if others is not None and not isinstance(others, Mapping):
            raise UsageError(
                f"Tolerance.per_dtype takes a mapping of dtype -> Tolerance, got {type(others).__name__}: "
                'Tolerance.per_dtype({"float8_e4m3fn": Tolerance(max_ulp=1)})'
            )
        for name, bound in (others or {}).items():
            is_bound = isinstance(bound, Tolerance) and bound.rule == "bounds" and bound.rows == "ordered"
            if not isinstance(name, str) or not is_bound:
                raise UsageError(
                    f"Tolerance.per_dtype maps a dtype's name (str) to a Tolerance of bounds, got {name!r}: {bound!r}"
                )
            bounds[_SAME_DTYPE.get(name, name)] = bound
        return cls(rule="per_dtype", by_dtype=tuple(bounds.items()))

    def with_bounds(self, **bounds: Any) -> Tolerance:
        """Return a tolerance with some bounds replaced, under ``"per_dtype"`` those of every dtype.

        Parameters
        ----------
        **bounds
            `max_ulp`, `rtol`, `atol`, `norm`. They do not apply to unordered rows, which stay exact.
        """
        if self.rows == "unordered":
            return self
        own = tuple((name, bound.with_bounds(**bounds)) for name, bound in self.by_dtype)
        return replace(self, **bounds, by_dtype=own)

    def for_dtype(self, dtype: str) -> tuple[Tolerance, str]:
        """Return the bounds of a dtype under ``"per_dtype"``, and a phrase that says where they come from."""
        name = _SAME_DTYPE.get(dtype, dtype)
        bound = dict(self.by_dtype).get(name)
        if bound is None:
            plain = replace(self, rule="bounds", by_dtype=())
            return plain, f"{dtype} has no default: {plain.describe()}"
        is_default = (bound.rtol, bound.atol) == _DEFAULT_BOUNDS.get(name) and not (bound.max_ulp or bound.norm)
        return bound, f"{name}'s default: {bound.describe()}" if is_default else f"for {name}: {bound.describe()}"

    @property
    def is_exact(self) -> bool:
        """Whether not one bit may differ."""
        return (
            self.rule == "bounds"
            and self.rows == "ordered"
            and not (self.max_ulp or self.rtol or self.atol or self.norm)
        )

    def describe(self) -> str:
        """Return what is allowed as a phrase of a report."""
        if self.rule == "reference":
            return f"auto: {self.factor:g} x the error against the float64 reference"
        if self.rule == "noise_floor":
            return f"auto: {self.factor:g} x the noise floor of {len(self.reference)} jittered runs"
        if self.rule == "per_dtype":
            each = "; ".join(f"{name} {bound.describe()}" for name, bound in self.by_dtype)
            return f"per dtype: {each}; others {replace(self, rule='bounds', by_dtype=()).describe()}"
        if self.rows == "unordered":
            return "rows in any order, each exactly"
        names = ["max_ulp", "rtol", "atol", "norm"]
        names += ["norm_cap"] * (self.norm is not None and self.norm_cap != _NORM_CAP)
        return ", ".join(f"{name}={_exactly(v)}" for name in names if (v := getattr(self, name))) or "no difference"


@dataclass(frozen=True, slots=True)
class TolerancePolicy:
    """Tolerances by artifact glob: the first pattern that matches an artifact's path decides.

    An artifact that no pattern matches may not differ at all.

    Attributes
    ----------
    auto : bool
        Whether artifacts that only ``*`` matches are judged against a float64 run of the baseline, which has to be
        made first; ``*`` then gives the bounds of those that this run cannot judge.
    """

    rules: tuple[tuple[str, Tolerance], ...] = (("*", Tolerance()),)
    auto: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether not one bit of any artifact may differ."""
        return not self.auto and all(bound.is_exact for _, bound in self.rules)

    @property
    def leaves_rows_open(self) -> bool:
        """Whether a rule leaves the order of rows open."""
        return any(bound.rows == "unordered" for _, bound in self.rules)

    def covers(self, artifact: str) -> bool:
        """Return whether a pattern matches the artifact."""
        return any(fnmatch.fnmatchcase(artifact, pattern) for pattern, _ in self.rules)

    @classmethod
    def of(cls, tolerance: Tolerance | Mapping[str, Tolerance] | TolerancePolicy | None) -> TolerancePolicy:
        """Make a policy of what a user may write: nothing, one tolerance, or globs to tolerances."""
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
            raise UsageError('tolerance={} is empty and allows nothing; omit it, or write {"*": Tolerance(...)}')
        return cls(tuple(tolerance.items()))

    def find(self, artifact: str) -> Tolerance:
        """Return the tolerance of one artifact."""
        for pattern, tolerance in self.rules:
            if pattern == "*" or fnmatch.fnmatchcase(artifact, pattern):
                return tolerance
        return Tolerance()

    def pattern_of(self, artifact: str) -> str | None:
        """Return the glob whose tolerance an artifact has."""
        patterns = (pattern for pattern, _ in self.rules)
        return next((each for each in patterns if each == "*" or fnmatch.fnmatchcase(artifact, each)), None)

    def unmatched(self, artifacts: Sequence[str], containers: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the globs that match no artifact: a misspelt name must not pass for a bound (``*`` is exempt).

        A table whose rows may have any order is named by the path of the container that it is.
        """
        names = {"ordered": artifacts, "unordered": [*artifacts, *containers]}
        return tuple(p for p, bound in self.rules if p != "*" and not fnmatch.filter(names[bound.rows], p))

    def without_bounds(self) -> TolerancePolicy:
        """Return the policy that allows no difference but another order of rows, where this one allows it."""
        return TolerancePolicy(tuple((pattern, Tolerance(rows=bound.rows)) for pattern, bound in self.rules))
