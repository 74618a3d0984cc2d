"""Equivalence assertions as axes: ``across={"resume": assert_resume_equivalent}`` gives the test an argument.

The argument is the assertion, bound to the run. A call makes its trials, and its finding becomes a column of the
matrix instead of ending the test. An assertion that the test never calls varies nothing and makes the test inconclusive
(docs/adr/0018).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pytest_repro.comparing.judgements import noting_judgements
from pytest_repro.engines.current import CurrentRun
from pytest_repro.errors import DivergenceError, InconclusiveError, UnstableError
from pytest_repro.model import Cause, EquivalenceFinding, TestResult, Verdict
from pytest_repro.session.across import Assertion
from pytest_repro.session.findings import NOT_VARIED, RANK, UNSTABLE

if TYPE_CHECKING:
    from pytest_repro.equivalences import Equivalence


class BoundAssertion:
    """An equivalence assertion as a test gets it, which notes its findings for the judgement of the run."""

    def __init__(self, axis: str, assertion: Assertion, run: CurrentRun) -> None:
        self.axis = axis
        self._assertion = assertion
        self._run = run
        self._calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Equivalence | None:
        """Make the assertion's trials with the run's seed, unless another is given.

        Returns
        -------
        Equivalence
            False where it diverged, None where it is inconclusive. The test goes on either way, and fails at its end.
        """
        __tracebackhide__ = True
        self._calls += 1
        given = self._assertion.keywords if isinstance(self._assertion, functools.partial) else {}
        if "seed" in inspect.signature(self._assertion).parameters and "seed" not in given:
            kwargs.setdefault("seed", self._run.seed)
        try:
            with noting_judgements(None):  # it counts for the verdict of the test
                shown = self._assertion(*args, **kwargs)
        except DivergenceError as error:
            if error.equivalence is None:
                raise  # raised by a function under test
            shown = error.equivalence
            self._note(shown, str(error))
        except InconclusiveError as error:
            cell = UNSTABLE if isinstance(error, UnstableError) else NOT_VARIED
            self._run.equivalences.append(
                EquivalenceFinding(self.axis, self._name, Verdict.INCONCLUSIVE, cell, message=str(error))
            )
            return None
        else:
            self._note(shown, "")
        # Repeats of the test are compared by the artifacts of the assertion's baseline.
        self._run.take_artifacts(self.axis if self._calls == 1 else f"{self.axis}/call {self._calls}", shown.artifacts)
        return shown

    @property
    def _name(self) -> str:
        function = self._assertion.func if isinstance(self._assertion, functools.partial) else self._assertion
        return str(function.__name__)

    def _note(self, shown: Equivalence, message: str) -> None:
        explanation = shown.explanation

        def read(cause: str, confidence: str) -> tuple[Cause, ...]:
            codes, _, what = cause.partition(": ")
            evidence = "; ".join([what, *explanation.evidence])
            given = (code for code in codes.split(", ") if code)
            return tuple(Cause(code, self.axis, evidence, explanation.fix, confidence) for code in given)

        self._run.equivalences.append(
            EquivalenceFinding(
                self.axis,
                self._name,
                shown.verdict,
                shown.verdict.value,
                message,
                explanation.first,
                read(explanation.cause, "probed"),
                tuple(zip(shown.trials, shown.comparisons, strict=True)),
                shown.notes,
                read(explanation.suspected, "suspected"),
            )
        )


def bind_assertions(assertions: Mapping[str, Assertion], run: CurrentRun) -> dict[str, BoundAssertion]:
    """Return the assertions as arguments of one run."""
    return {name: BoundAssertion(name, assertion, run) for name, assertion in assertions.items()}


def judge_assertions(names: Collection[str], result: TestResult) -> tuple[Verdict | None, str]:
    """Fill in the matrix' cells of the assertions, and return their effect on the verdict.

    Returns
    -------
    verdict : Verdict or None
        None if they do not change it.
    reason : str
        The reason, where it is inconclusive.
    """
    found = [finding for run in result.runs for finding in run.equivalences]
    for name in names:
        cells = [finding.cell for finding in found if finding.axis == name]
        result.matrix[name] = max(cells, key=RANK.index, default=NOT_VARIED)
    for note in dict.fromkeys(f"{finding.axis}: {note}" for finding in found for note in finding.notes):
        if note not in result.notes:
            result.notes.append(note)
    verdicts = [finding.verdict for finding in found]
    if Verdict.DIVERGED in verdicts:
        return Verdict.DIVERGED, ""
    uncalled = [name for name in names if not any(finding.axis == name for finding in found)]
    if uncalled:
        return Verdict.INCONCLUSIVE, (
            f"the test never called its argument {uncalled[0]!r}, so nothing was varied along it: call it in the test"
        )
    unclear = next((finding for finding in found if finding.verdict is Verdict.INCONCLUSIVE), None)
    if unclear is not None:
        return Verdict.INCONCLUSIVE, unclear.message
    return (Verdict.WITHIN_TOLERANCE if Verdict.WITHIN_TOLERANCE in verdicts else None), ""


def add_causes(result: TestResult) -> None:
    """Add the causes that the assertions found and suspected, without duplicates."""
    found = [finding for run in result.runs for finding in run.equivalences]
    result.causes += dict.fromkeys(cause for finding in found for cause in finding.causes)
    result.suspected += dict.fromkeys(cause for finding in found for cause in finding.suspected)
