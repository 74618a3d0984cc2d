"""What every equivalence ends in: trials compared with a baseline, an explanation, one message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_repro.comparing import compare_artifacts
from pytest_repro.comparing.live import AnyTolerance, make_policy
from pytest_repro.comparing.message import describe_comparison
from pytest_repro.errors import DivergenceError, InconclusiveError, UnstableError, UsageError
from pytest_repro.model import Artifacts, Comparison, TolerancePolicy, Verdict

_BOUNDS = ("max_ulp", "rtol", "atol", "norm")
_MAX_TOLD = 6


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What an equivalence assertion has shown; true if it held, as it did where the assertion returned it.

    Attributes
    ----------
    name : str
        The assertion.
    verdict : Verdict
        IDENTICAL or WITHIN_TOLERANCE; DIVERGED in ``DivergenceError.equivalence``.
    baseline : str
        What the trials were compared with.
    trials : tuple of str
        What was varied, a phrase each.
    notes : tuple of str
        What a reader must know to take it for no more than it is: how processes were made, what was left out.
    explanation : Explanation
        Why trials differ; empty where none does.
    comparisons : tuple of Comparison
        One for each trial; empty for a trial that raised.
    artifacts : Artifacts
        What the baseline gave.
    """

    name: str
    verdict: Verdict
    baseline: str
    trials: tuple[str, ...]
    notes: tuple[str, ...] = ()
    explanation: Explanation = field(default_factory=lambda: Explanation(), compare=False, repr=False)
    comparisons: tuple[Comparison, ...] = field(default=(), compare=False, repr=False)
    artifacts: Artifacts = field(default_factory=Artifacts, compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.verdict}: {'; '.join(self.trials)} against {self.baseline}"]
        return "\n".join([*lines, *(f"  note      {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to compute the result.

    Attributes
    ----------
    varied : str
        What was varied.
    artifacts : Artifacts
    failure : str
        The error, where it raised one instead.
    expected : Artifacts, optional
        What it must give; by default what the baseline gave.
    policy : TolerancePolicy, optional
        What may differ in it; by default what the user allows.
    """

    varied: str
    artifacts: Artifacts
    failure: str = ""
    expected: Artifacts | None = None
    policy: TolerancePolicy | None = None


@dataclass(frozen=True, slots=True)
class Deviation:
    """A trial that differs from the baseline by more than allowed."""

    trial: Trial
    comparison: Comparison

    @property
    def varied(self) -> str:
        """What was varied."""
        return self.trial.varied


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why trials differ, as far as the trials themselves tell.

    Attributes
    ----------
    cause : str
        ``batch.statistics: a sentence``.
    evidence : tuple of str
    fix : str
    first : str
        The first step or artifact that differs; the first artifact where it is empty.
    """

    cause: str = ""
    evidence: tuple[str, ...] = ()
    fix: str = ""
    first: str = ""


@dataclass(slots=True)
class Inquiry:
    """One assertion at work: its name, what may differ, and what its reader must know.

    Attributes
    ----------
    ignored_traits : tuple of str
        Traits that may differ: the trials go through formats or compilers that do not keep them.
    """

    name: str
    policy: TolerancePolicy
    notes: list[str] = field(default_factory=list)
    ignored_traits: tuple[str, ...] = ("requires_grad",)

    @classmethod
    def begin(cls, name: str, tolerance: AnyTolerance, bounds: Mapping[str, Any]) -> Inquiry:
        """Check what the user allows to differ.

        Raises
        ------
        UsageError
            If a bound is impossible, or an argument is unknown.
        """
        unknown = [bound for bound in bounds if bound not in _BOUNDS]
        if unknown:
            raise UsageError(
                f"{name}() has no argument {unknown[0]!r}; what may differ is given by {', '.join(_BOUNDS)}"
            )
        return cls(name, make_policy(tolerance, bounds))

    def compare(
        self, actual: Artifacts, expected: Artifacts, *, exactly: bool = False, policy: TolerancePolicy | None = None
    ) -> Comparison:
        """Compare by what is allowed, or bit by bit."""
        policy = TolerancePolicy() if exactly else policy or self.policy
        return compare_artifacts(actual, expected, policy, ignored_traits=self.ignored_traits)

    def require_stable(self, first: Artifacts, again: Artifacts, what: str, fix: str) -> None:
        """Raise InconclusiveError where a repeat under one condition differs: then nothing can be blamed on another."""
        __tracebackhide__ = True
        if self.compare(again, first):
            return
        comparison = self.compare(again, first)
        if comparison.verdict is Verdict.INCONCLUSIVE:
            raise InconclusiveError(f"{self.name}: there was nothing to compare: return arrays, tensors or numbers")
        raise UnstableError(
            f"{self.name}: {what} differs from itself when repeated, so nothing can be told of what was to be varied\n"
            f"\n  fix       {fix}\n\n{describe_comparison(comparison)}"
        )

    def conclude(
        self,
        baseline: Trial,
        trials: Sequence[Trial],
        explain: Callable[[Sequence[Deviation]], Explanation],
    ) -> Equivalence:
        """Compare every trial with the baseline, and raise unless all of them are allowed.

        Raises
        ------
        DivergenceError
            If one differs by more than allowed.
        InconclusiveError
            If there was nothing to compare.
        """
        __tracebackhide__ = True
        if not trials:
            raise InconclusiveError(f"{self.name}: nothing was varied, so nothing was compared")
        deviations: list[Deviation] = []
        comparisons: list[Comparison] = []
        verdict = Verdict.IDENTICAL
        for trial in trials:
            expected = trial.expected or baseline.artifacts
            comparison = Comparison() if trial.failure else self.compare(trial.artifacts, expected, policy=trial.policy)
            comparisons.append(comparison)
            if trial.failure or comparison.verdict is Verdict.DIVERGED:
                deviations.append(Deviation(trial, comparison))
            elif not comparison.elements:
                raise InconclusiveError(
                    f"{self.name}: there was nothing to compare for {trial.varied}: return arrays, tensors or numbers"
                )
            elif comparison.verdict is Verdict.WITHIN_TOLERANCE:
                verdict = Verdict.WITHIN_TOLERANCE
        explanation = _complete(explain(deviations), deviations) if deviations else Explanation()
        shown = Equivalence(
            self.name,
            Verdict.DIVERGED if deviations else verdict,
            baseline.varied,
            tuple(trial.varied for trial in trials),
            tuple(self.notes),
            explanation,
            tuple(comparisons),
            baseline.artifacts,
        )
        if deviations:
            error = DivergenceError(self._render(baseline, trials, deviations, explanation))
            error.equivalence = shown
            raise error
        return shown

    def _render(
        self, baseline: Trial, trials: Sequence[Trial], deviations: Sequence[Deviation], explanation: Explanation
    ) -> str:
        shown = _shown(deviations)
        differing = {id(deviation.trial) for deviation in deviations}
        agreeing = [trial.varied for trial in trials if id(trial) not in differing]
        rows = [("varied", f"{baseline.varied} -> {shown.varied}")]
        rows.append(("differ", _list(deviation.varied for deviation in deviations)))
        rows.append(("agree", _list(agreeing)))
        rows.append(("first", explanation.first))
        rows.append(("cause", explanation.cause))
        rows += [("evidence", line) for line in explanation.evidence]
        rows += [("raised", f"{d.varied}: {d.trial.failure}") for d in deviations if d.trial.failure]
        rows.append(("fix", explanation.fix))
        rows += [("note", note) for note in self.notes]
        heading = f"{self.name}: {len(deviations)} of {len(trials)} variants differ from {baseline.varied}"
        body = "" if shown.trial.failure else f"\n\n{describe_comparison(shown.comparison)}"
        return "\n".join([heading, "", *(f"  {label:<9} {text}" for label, text in rows if text)]) + body


def _shown(deviations: Sequence[Deviation]) -> Deviation:
    """Return the deviation whose figures are told: one that gave something, where there is one."""
    return next((d for d in deviations if not d.trial.failure), deviations[0])


def _complete(explanation: Explanation, deviations: Sequence[Deviation]) -> Explanation:
    """Name the first artifact that differs where the explanation knows of no earlier step."""
    return replace(explanation, first=explanation.first or _first_artifact(_shown(deviations).comparison))


def _list(phrases: Iterable[str]) -> str:
    told = list(phrases)
    more = f"; and {len(told) - _MAX_TOLD} more" if len(told) > _MAX_TOLD else ""
    return "; ".join(told[:_MAX_TOLD]) + more


def _first_artifact(comparison: Comparison) -> str:
    for difference in comparison.differences:
        if not difference.within:
            place = f" at {list(difference.first_index)}" if difference.first_index else ""
            return f"{difference.artifact}{place}"
    return ""


def check_callable(name: str, role: str, value: Any) -> None:
    """Raise UsageError unless `value` can be called."""
    if not callable(value):
        raise UsageError(f"{name}: {role} must be a function or another callable, got {type(value).__name__}")


def check_count(name: str, role: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number from `least`, or raise UsageError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}: {role} must be a whole number of at least {least}, got {value!r}")
    return value


def check_counts(name: str, role: str, values: Any, *, least: int = 1) -> tuple[int, ...]:
    """Return distinct whole numbers from `least` in the order given, or raise UsageError."""
    if isinstance(values, int):
        values = (values,)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise UsageError(f"{name}: {role} must be whole numbers, such as (1, 2), got {values!r}")
    counts = tuple(dict.fromkeys(check_count(name, role, value, least=least) for value in values))
    if not counts:
        raise UsageError(f"{name}: {role} is empty, so nothing would be varied")
    return counts
