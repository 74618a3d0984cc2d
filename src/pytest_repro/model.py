"""The frozen values that every layer speaks in: tolerance, condition, leaf, comparison, verdict.

Nothing here imports NumPy, pytest or a framework, so that the plugin can be loaded at no cost.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from pytest_repro.errors import UsageError

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


class Verdict(str, Enum):
    """What may be said of a test after its runs were compared."""

    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within_tolerance"
    DIVERGED = "diverged"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"

    def __bool__(self) -> bool:
        """Tell whether the results agreed: ``if check_reproducible(f):`` must never pass on silence."""
        return self in (Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE)

    def __str__(self) -> str:
        return self.value


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


#: The seed control's entry in a condition. No axis, and no name that an argument of a test could have.
ANOTHER_SEED = "another seed"
#: The entry of the run that computes run 1 in float64, for an automatic tolerance; no axis either.
REFERENCE = "float64 reference"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one run is given that differs from the baseline: axis -> value; empty for a plain repeat."""

    values: tuple[tuple[str, JSON], ...] = ()

    def __iter__(self) -> Iterator[tuple[str, JSON]]:
        return iter(self.values)

    def as_dict(self) -> dict[str, JSON]:
        """Return the condition as JSON holds it."""
        return dict(self.values)

    def describe(self) -> str:
        """Say it in a phrase: ``threads=3, hash_seed=1``, or ``same condition``."""
        return ", ".join(f"{axis}={value}" for axis, value in self.values) or "same condition"


@dataclass(slots=True, eq=False)
class Leaf:
    """One named value of what a run gave, in a form that needs no framework to compare.

    Attributes
    ----------
    form : {"array", "value", "node"}
        ``array``: `data` is an ndarray of a simple dtype, with any strides or byte order. A dtype that
        NumPy lacks travels in an unsigned carrier of its width (bfloat16 in uint16), or as a framework's own
        tensor when it lives on another device.
        ``value``: `data` is a Python int, float, complex, bool, str, bytes or None.
        ``node``: a container; `data` is None, its children are the leaves below its path.
    type_name : str
        The type as the user knows it: ``ndarray``, ``Tensor``, ``float``, ``dict``, ``LinearRegression``.
    dtype : str
        Logical dtype (``float32``, ``bfloat16``, ``>f4``, ``datetime64[ns]``; for a value ``float``, ``int`` ...).
    shape : tuple of int
    traits : tuple of (name, value)
        What else must agree: ``("device", "cuda:0")``, ``("requires_grad", "True")``, ``("layout", ...)``.
    """

    form: Literal["array", "value", "node"]
    data: Any
    type_name: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    traits: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, eq=False)
class Artifacts:
    """All that one run gave: path -> leaf, in the order of capture. The root's path is the empty string."""

    leaves: dict[str, Leaf] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Paths of what can be compared (containers left out)."""
        return [path for path, leaf in self.leaves.items() if leaf.form != "node"]

    def __len__(self) -> int:
        return sum(leaf.form != "node" for leaf in self.leaves.values())


DivergenceKind = Literal["values", "shape", "dtype", "structure", "nan", "missing", "extra", "type"]

#: Structural kinds stand first in a report: a wrong shape explains the values below it.
KIND_ORDER: tuple[DivergenceKind, ...] = ("structure", "missing", "extra", "type", "dtype", "shape", "nan", "values")


@dataclass(frozen=True, slots=True)
class ArtifactComparison:
    """One artifact that is not bit-identical, with every figure of the comparison.

    ``None`` stands for a figure that does not apply (no ulp between strings, no values once shapes differ).

    Attributes
    ----------
    within : bool
        Whether the tolerance admits it.
    elements, differing, over : int
        Elements in all, those whose bits differ, those beyond what was allowed.
    max_ulp : int or None
        Largest distance [ulp], exact; ``None`` if a NaN or infinity makes it meaningless.
    max_abs, max_rel, norm_rel : float or None
        Largest ``|a - e|``, largest ``|a - e| / |e|``, ``||a - e||_2 / ||e||_2``.
    nan_actual, nan_expected, inf_actual, inf_expected : int
        Counted over the elements that differ (the others hold the same bits on both sides).
    ulp_histogram : tuple of int
        ``[k]`` counts the elements with a distance in ``[2**(k-1), 2**k)``; ``[0]`` those at 0 ulp with other bits.
    first_index : tuple of int or None
        Index of the first differing element (C order); `actual` and `expected` are its values, as text.
    worst_index : tuple of int or None
        Index of the element with `max_ulp` (or `max_abs` where there is no ulp).
    allowed : str
        What was allowed, in words.
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
    """What differs between two trees of artifacts; true only if something was compared and all of it is allowed."""

    differences: tuple[ArtifactComparison, ...] = ()
    artifacts: int = 0
    elements: int = 0

    @property
    def divergences(self) -> tuple[ArtifactComparison, ...]:
        """Artifacts beyond what was allowed, structural first, worst first."""
        return tuple(sorted((d for d in self.differences if not d.within), key=lambda d: d.severity))

    @property
    def tolerated(self) -> tuple[ArtifactComparison, ...]:
        """Artifacts whose bits differ within what was allowed, worst first."""
        return tuple(sorted((d for d in self.differences if d.within), key=lambda d: d.severity))

    @property
    def is_identical(self) -> bool:
        """Whether something was compared and not one bit differs."""
        return self.verdict is Verdict.IDENTICAL

    @property
    def verdict(self) -> Verdict:
        """IDENTICAL, WITHIN_TOLERANCE, DIVERGED, or INCONCLUSIVE where there was nothing to compare."""
        if any(not d.within for d in self.differences):
            return Verdict.DIVERGED
        if not self.artifacts:
            return Verdict.INCONCLUSIVE
        return Verdict.WITHIN_TOLERANCE if self.differences else Verdict.IDENTICAL

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __str__(self) -> str:
        return _describe(self)

    __repr__ = __str__


def _describe_briefly(comparison: Comparison) -> str:
    return f"Comparison({comparison.verdict}: {comparison.artifacts} artifacts, {len(comparison.differences)} differ)"


_describe: Callable[[Comparison], str] = _describe_briefly


def render_comparisons_with(describe: Callable[[Comparison], str]) -> None:
    """Let the layer that can lay out a comparison do so for ``str`` and ``repr``: values render nothing themselves."""
    global _describe
    _describe = describe


@dataclass(frozen=True, slots=True)
class EquivalenceFinding:
    """What an equivalence assertion found that a test took as an argument, as an axis of the matrix.

    Attributes
    ----------
    axis : str
        Name of the argument.
    name : str
        The assertion.
    verdict : Verdict
    cell : str
        What the matrix shows: the verdict's value, unstable, or not_varied.
    message : str
        Why it is no pass; empty if it is one.
    first : str
        The first step or artifact that differs.
    causes : tuple of Cause
    trials : tuple of (varied, Comparison)
    notes : tuple of str
    """

    axis: str
    name: str
    verdict: Verdict
    cell: str
    message: str = ""
    first: str = ""
    causes: tuple[Cause, ...] = ()
    trials: tuple[tuple[str, Comparison], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class RunResult:
    """One run: what it was given, how it ended, what it gave."""

    index: int
    condition: Condition = field(default_factory=Condition)
    outcome: Literal["passed", "failed", "skipped", "error"] = "passed"
    duration_s: float = 0.0
    artifacts: Artifacts | None = None
    digest: str | None = None
    reason: str = ""
    settings: dict[str, JSON] = field(default_factory=dict)
    #: ``data`` and ``config``: name -> description, as the test named them.
    inputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    #: What the equivalence assertions found that the test took as arguments.
    equivalences: list[EquivalenceFinding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's code; `source` is its line as text, empty where it cannot be read."""

    file: str
    line: int
    function: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why runs differ: a code ``family.name`` of the taxonomy, the axis that shows it, the evidence, what to change.

    Attributes
    ----------
    confidence : {"probed", "seen", "state"}
        How it was shown: by a condition of which fixing it alone made the runs agree; by a call on the way to the
        differing value; by state that differed before the test began.
    """

    code: str
    axis: str
    evidence: str
    fix: str
    confidence: Literal["probed", "seen", "state"] = "probed"
    location: Location | None = None


@dataclass(slots=True)
class Diagnosis:
    """What was found out beyond the axes.

    Attributes
    ----------
    first_divergence : dict or None
        The first value of the user's code that differs: file, line, function, name, step, module, op, both values.
    ruled_out : list of str
        Conditions that were held still, or varied alone, and were not it.
    seconds : float
        What it took [s].
    complete : bool
        False where the budget ran out or something could not be looked at.
    rows : list of list of str
        The two traces side by side around the first difference.
    """

    first_divergence: dict[str, Any] | None = None
    ruled_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = True
    rows: list[dict[str, JSON]] = field(default_factory=list)


@dataclass(slots=True)
class TestResult:
    """A test's verdict with all that led to it; `reporting` turns it into text and JSON."""

    __test__ = False  # not a test class, whatever its name suggests to pytest

    nodeid: str
    verdict: Verdict
    seed: int
    runs: list[RunResult] = field(default_factory=list)
    comparisons: list[tuple[RunResult, Comparison]] = field(default_factory=list)
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    repeat_command: str = ""
    #: Axis -> verdict's value, or not_varied, not_available, unstable, not_isolated.
    matrix: dict[str, str] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)
    #: None where none was made.
    diagnosis: Diagnosis | None = None
    #: Axis -> the components of it that alone make a run differ, where that was looked for.
    components: dict[str, list[str]] = field(default_factory=dict)
    #: Run -> the axes that its divergence was traced to; empty where it could not be told.
    blamed: dict[int, list[str]] = field(default_factory=dict)
    #: What became of the test's record, as JSON; None where neither recording nor verifying was asked for.
    record: dict[str, Any] | None = None
    #: What made the runs: ``in_process``, ``fork``, ``spawn``.
    engine: str = "in_process"
    #: Artifacts of run 1 that ``repro.step`` captured.
    captured_steps: list[str] = field(default_factory=list)
