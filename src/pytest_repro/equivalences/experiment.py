"""One experiment for every equivalence assertion: a baseline, trials, their comparison, and one message.

An assertion says what it computes, what it varies, and how it explains a difference.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_repro import seeding
from pytest_repro.comparing import compare_artifacts
from pytest_repro.comparing.live import AnyTolerance, make_policy
from pytest_repro.comparing.message import ASSERTION_WIDTH, describe_comparison, describe_left_out, list_not_compared
from pytest_repro.equivalences.causes import CAUSES
from pytest_repro.equivalences.magnitude import describe_distance, is_rounding
from pytest_repro.errors import DivergenceError, InconclusiveError, UnstableError, UsageError
from pytest_repro.model import Artifacts, Comparison, TolerancePolicy, Verdict
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.model.text import wrap
from pytest_repro.undisturbed import undisturbed

_BOUNDS = ("max_ulp", "rtol", "atol", "norm")
_MAX_LISTED = 6
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Result of an equivalence assertion, true unless it diverged.

    Attributes
    ----------
    name : str
        The assertion.
    verdict : Verdict
        IDENTICAL or WITHIN_TOLERANCE, and DIVERGED in ``DivergenceError.equivalence``.
    baseline : str
        Description of the computation that the trials were compared with.
    trials : tuple of str
        Description of each variant.
    notes : tuple of str
        Limits of the result: the kind of process that was used, the values that were not compared.
    explanation : Explanation
        Reason of the differences, empty if there are none.
    comparisons : tuple of Comparison
        One for each trial, empty for a trial that raised.
    artifacts : Artifacts
        Results of the baseline.
    against : tuple of str
        What each trial was compared with, empty for the baseline.

    Examples
    --------
    >>> from pytest_repro import assert_order_invariant
    >>> found = assert_order_invariant(max, [3, 1, 2])
    >>> bool(found), found.baseline
    (True, 'the items as given')
    """

    name: str
    verdict: Verdict
    baseline: str
    trials: tuple[str, ...]
    notes: tuple[str, ...] = ()
    explanation: Explanation = field(default_factory=lambda: Explanation(), compare=False, repr=False)
    comparisons: tuple[Comparison, ...] = field(default=(), compare=False, repr=False)
    artifacts: Artifacts = field(default_factory=Artifacts, compare=False, repr=False)
    against: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.verdict)

    def __str__(self) -> str:
        others = dict.fromkeys(self.against or [""])
        groups = {
            other: [t for t, of in zip(self.trials, self.against, strict=False) if of == other] for other in others
        }
        told = "; ".join(
            f"{'; '.join(of or self.trials)} against {other or self.baseline}" for other, of in groups.items()
        )
        lines = [f"{self.name}: {self.verdict}: {told}"]
        return "\n".join([*lines, *(f"  note      {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to compute the result.

    Attributes
    ----------
    varied : str
        Description of the variant.
    artifacts : Artifacts
    failure : str
        The error, if the computation raised one.
    expected : Artifacts, optional
        Results to compare with, by default the baseline's.
    policy : TolerancePolicy, optional
        Bounds of this trial, by default the assertion's.
    against : str
        Description of what it is compared with, if that is not the baseline.
    """

    varied: str
    artifacts: Artifacts
    failure: str = ""
    expected: Artifacts | None = None
    policy: TolerancePolicy | None = None
    against: str = ""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A trial that differs by more than allowed from the results expected of it."""

    trial: Trial
    comparison: Comparison
    expected: Artifacts

    @property
    def varied(self) -> str:
        """Description of the variant."""
        return self.trial.varied

    @property
    def is_rounding(self) -> bool:
        """Whether the difference is as small as that of sums in another order."""
        return is_rounding(self.comparison)

    def describe(self) -> str:
        """Return the variant with its distance from the baseline."""
        return f"{self.varied}: {describe_distance(self.comparison)}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Reason of the differences between trials, as far as the trials themselves show it.

    Attributes
    ----------
    cause : str
        ``batch.statistics: a sentence``. Shown by the trials or by further runs.
    suspected : str
        The same of a cause that could not be tried.
    evidence : tuple of str
    fix : str
    first : str
        The first step or artifact that differs. If empty, the first artifact is used.
    """

    cause: str = ""
    evidence: tuple[str, ...] = ()
    fix: str = ""
    first: str = ""
    suspected: str = ""

    @classmethod
    def of(cls, code: str, *evidence: str, meaning: str = "", fix: str = "", first: str = "") -> Explanation:
        """Explain differences by one cause, in the words of the catalogue unless others are given."""
        words = CAUSES[code]
        return cls(f"{code}: {meaning or words.meaning}", evidence, fix or words.fix, first)

    @classmethod
    def by_magnitude(
        cls, deviations: Sequence[Deviation], *, rounding: str, other: str, evidence: Sequence[str] = ()
    ) -> Explanation:
        """Explain differences by one cause if all are as small as rounding, and by another if not.

        The default evidence is the distance of the first deviation.
        """
        code = rounding if all(deviation.is_rounding for deviation in deviations) else other
        return cls.of(code, *(evidence or (deviations[0].describe(),)))


Explain = Callable[[Sequence[Deviation]], Explanation]
_NOTHING = "there was nothing to compare: return arrays, tensors or numbers"


@contextmanager
def restored_generators() -> Iterator[seeding.State]:
    """Restore every random generator after the block. Yield their states before it."""
    state = seeding.save_state()
    try:
        yield state
    finally:
        seeding.restore_state(state)


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Make an empty folder, and remove it after the block as far as possible."""
    with tempfile.TemporaryDirectory(prefix=f"pytest-repro-{purpose}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@dataclass(slots=True)
class Experiment:
    """Computation of one assertion: its name, its bounds, and notes on its limits.

    Attributes
    ----------
    ignored_traits : tuple of str
        Traits that may differ, because formats and compilers do not keep them.
    """

    name: str
    policy: TolerancePolicy
    notes: list[str] = field(default_factory=list)
    ignored_traits: tuple[str, ...] = ("requires_grad",)

    @classmethod
    def begin(cls, name: str, tolerance: AnyTolerance, bounds: Mapping[str, Any]) -> Experiment:
        """Begin an experiment, or raise UsageError if a bound is impossible or an argument is unknown."""
        unknown = [bound for bound in bounds if bound not in _BOUNDS]
        if unknown:
            raise UsageError(f"{name}() has no argument {unknown[0]!r}; the bounds are {', '.join(_BOUNDS)}")
        return cls(name, make_policy(tolerance, bounds))

    def compare(
        self, actual: Artifacts, expected: Artifacts, *, exactly: bool = False, policy: TolerancePolicy | None = None
    ) -> Comparison:
        """Compare within the bounds, or bit by bit."""
        policy = TolerancePolicy() if exactly else policy or self.policy
        return compare_artifacts(actual, expected, policy, ignored_traits=self.ignored_traits)

    @undisturbed
    def require_stable(self, first: Artifacts, again: Artifacts, what: str, fix: str) -> None:
        """Raise InconclusiveError if a repeat under the same condition differs, since then no variant is to blame."""
        __tracebackhide__ = True
        comparison = self.compare(again, first)
        if comparison:
            return
        if comparison.verdict is Verdict.INCONCLUSIVE:
            reason = describe_left_out(comparison.left_out) or _NOTHING
            raise InconclusiveError(f"{self.name}: {reason}")
        problem = f"{what} differs from itself when repeated, so a difference between variants proves nothing"
        raise UnstableError(_lay_out(f"{self.name}: {problem}", [("fix", fix)], comparison))

    def vary(
        self,
        compute: Callable[[_T], Artifacts],
        baseline: tuple[str, _T],
        variants: Iterable[tuple[str, _T]],
        explain: Explain,
        *,
        what: str,
        fix: str,
        keeps_unstable_variants: bool = False,
    ) -> Equivalence:
        """Compute the baseline twice and each variant once, and compare all of them with the baseline.

        Parameters
        ----------
        compute : callable (argument) -> Artifacts
        baseline : (str, argument)
            Description and argument.
        variants : iterable of (str, argument)
        explain : callable (deviations) -> Explanation
        what, fix : str
            Subject and fix of the message if the baseline or a variant differs from itself.
        keeps_unstable_variants : bool
            Whether a variant that differs from itself is a finding, and not a reason to conclude nothing.
        """
        __tracebackhide__ = True
        varied, argument = baseline
        arguments = dict(variants)
        with restored_generators():
            first = Trial(varied, compute(argument))
            self.require_stable(first.artifacts, compute(argument), what, fix)

            def explain_if_stable(deviations: Sequence[Deviation]) -> Explanation:
                # Once more after the variants: a failure by chance, or after some calls, is not due to a variant.
                self.require_stable(first.artifacts, compute(argument), what, fix)
                shown = _choose_shown(deviations)
                if not shown.trial.failure and not keeps_unstable_variants:
                    again = compute(arguments[shown.varied])
                    self.require_stable(shown.trial.artifacts, again, f"{what}, with {shown.varied},", fix)
                return explain(deviations)

            trials = [Trial(varied, compute(value)) for varied, value in arguments.items()]
            return self.conclude(first, trials, explain_if_stable)

    @undisturbed
    def conclude(self, baseline: Trial, trials: Sequence[Trial], explain: Explain) -> Equivalence:
        """Compare every trial with the baseline.

        Raises
        ------
        DivergenceError
            If a trial differs by more than allowed.
        InconclusiveError
            If there was nothing to compare, or state could not be compared.
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
                deviations.append(Deviation(trial, comparison, expected))
            elif comparison.left_out or not comparison.elements:
                reason = describe_left_out(comparison.left_out) or _NOTHING
                raise InconclusiveError(f"{self.name}: {trial.varied}: {reason}")
            elif comparison.verdict is Verdict.WITHIN_TOLERANCE:
                verdict = Verdict.WITHIN_TOLERANCE
        if omitted := list_not_compared(list(dict.fromkeys(v for found in comparisons for v in found.not_compared))):
            self.notes.append(f"not compared: {'; '.join(omitted)}")
        explanation = _complete(explain(deviations), deviations) if deviations else Explanation()
        result = Equivalence(
            self.name,
            Verdict.DIVERGED if deviations else verdict,
            baseline.varied,
            tuple(trial.varied for trial in trials),
            tuple(self.notes),
            explanation,
            tuple(comparisons),
            baseline.artifacts,
            tuple(trial.against for trial in trials),
        )
        if deviations:
            error = DivergenceError(self._render(baseline, trials, deviations, explanation))
            error.equivalence = result
            raise error
        return result

    def _render(
        self, baseline: Trial, trials: Sequence[Trial], deviations: Sequence[Deviation], explanation: Explanation
    ) -> str:
        shown = _choose_shown(deviations)
        differing = {id(deviation.trial) for deviation in deviations}
        rows = [
            ("varied", f"{shown.trial.against or baseline.varied} -> {shown.varied}"),
            ("cause", explanation.cause),
            ("suspected", explanation.suspected),
            ("fix", explanation.fix),
            ("first", explanation.first),
            *(("evidence", line) for line in explanation.evidence),
            *(("raised", f"{d.varied}: {d.trial.failure}") for d in deviations if d.trial.failure),
            ("differ", _list(deviation.varied for deviation in deviations)),
            ("match", _list(trial.varied for trial in trials if id(trial) not in differing)),
            *(("note", note) for note in self.notes),
        ]
        compared = list(dict.fromkeys(deviation.trial.against or baseline.varied for deviation in deviations))
        heading = f"{self.name}: {len(deviations)} of {len(trials)} variants differ from {' and '.join(compared[:3])}"
        return _lay_out(heading, rows, None if shown.trial.failure else shown.comparison)


def _lay_out(heading: str, rows: Iterable[tuple[str, str]], comparison: Comparison | None) -> str:
    """Return the text of a message: what differs, why and what to do, then the figures."""
    lines = [*wrap(heading, ASSERTION_WIDTH), ""]
    for label, text in rows:
        # Hidden before it is wrapped: half a secret on each of two lines would not be found.
        lines += wrap(redact_assignments(text), ASSERTION_WIDTH, f"  {label:<9} ", " " * 12) if text else []
    if comparison is not None:
        lines += ["", describe_comparison(comparison, width=ASSERTION_WIDTH)]
    return "\n".join(lines)


def _choose_shown(deviations: Sequence[Deviation]) -> Deviation:
    """Return the deviation whose figures are shown: the first that has a result, if there is one."""
    return next((d for d in deviations if not d.trial.failure), deviations[0])


def _complete(explanation: Explanation, deviations: Sequence[Deviation]) -> Explanation:
    """Name the first artifact that differs, unless the explanation names an earlier step."""
    return replace(explanation, first=explanation.first or _first_artifact(_choose_shown(deviations).comparison))


def _first_artifact(comparison: Comparison) -> str:
    for difference in comparison.differences:
        if not difference.within:
            place = f" at {list(difference.first_index)}" if difference.first_index else ""
            return f"{difference.artifact}{place}"
    return ""


def _list(phrases: Iterable[str]) -> str:
    listed = list(phrases)
    more = f"; and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
    return "; ".join(listed[:_MAX_LISTED]) + more
