"""The comparisons over the examples of a Hypothesis test, and of outcomes without artifacts."""

from __future__ import annotations

from typing import NoReturn

from pytest_repro.comparing import compare_artifacts
from pytest_repro.engines.base import mark_own
from pytest_repro.errors import DivergenceError
from pytest_repro.model import (
    ArtifactComparison,
    Artifacts,
    Comparison,
    NotCompared,
    RunResult,
    TestResult,
    TolerancePolicy,
    Verdict,
)
from pytest_repro.reporting.failure import describe_failure, with_message


def compare_outcomes(actual: str, expected: str = "passed") -> Comparison:
    """Return the difference between run 1's outcome and that of a run that ended otherwise."""
    difference = ArtifactComparison(
        "outcome",
        "values",
        within=False,
        dtype="str",
        elements=1,
        differing=1,
        over=1,
        expected=expected,
        actual=actual,
    )
    return Comparison((difference,), artifacts=1, elements=1)


class ExampleLedger:
    """Compares the repeats of every example of one Hypothesis test, and counts the comparisons.

    The result gets a run for each of the `runs` repeats, and the comparisons of the example that was judged last.
    `repeats_silent` decides whether an example that returns nothing in its first run is run again.
    """

    def __init__(self, result: TestResult, policy: TolerancePolicy, runs: int, *, repeats_silent: bool = True) -> None:
        self.result = result
        self.policy = policy
        self.repeats_silent = repeats_silent
        self.examples: int = 0
        #: Whether an example that cannot be repeated is an error, and the number of those that were not repeated.
        self.repeats_all = True
        self.unrepeated = 0
        self.compared: int = 0
        self.largest: Comparison = Comparison()
        #: What was not compared in any example.
        self.not_compared: dict[NotCompared, None] = {}
        self.has_diverged: bool = False
        self.has_results: bool = False
        self.refused: list[NotCompared] = []
        result.runs += [RunResult(index) for index in range(2, runs + 1)]

    def judge(self, repeats: list[Artifacts]) -> None:
        """Compare the repeats of one example, and raise DivergenceError for Hypothesis to shrink."""
        __tracebackhide__ = True
        self.examples += 1
        self.has_results = self.has_results or any(map(len, repeats))
        comparisons = [
            (run, compare_artifacts(artifacts, repeats[0], self.policy))
            for run, artifacts in zip(self.result.runs[1:], repeats[1:], strict=True)
        ]
        self.largest = max([self.largest, *(c for _, c in comparisons)], key=lambda c: (c.elements, c.artifacts))
        self.not_compared.update(dict.fromkeys(value for _, c in comparisons for value in c.not_compared))
        verdicts = {comparison.verdict for _, comparison in comparisons}
        self.compared += bool(verdicts - {Verdict.INCONCLUSIVE})
        if Verdict.DIVERGED in verdicts:
            self._diverge(comparisons)
        if not self.has_diverged and Verdict.WITHIN_TOLERANCE in verdicts:
            self._keep(comparisons)

    def needs_repeats(self, first: Artifacts) -> bool:
        """Return whether an example is to be run again after its first run."""
        if self.repeats_silent or first.leaves:
            return True
        self.examples += 1
        return False

    def judge_end(self, run: int, outcome: str) -> None:
        """Raise DivergenceError for a repeat that did not run to its end, though the first run did."""
        __tracebackhide__ = True
        self.examples += 1
        self.has_results = True
        self._diverge([(self.result.runs[run - 1], compare_outcomes(outcome))])

    def _diverge(self, comparisons: list[tuple[RunResult, Comparison]]) -> NoReturn:
        __tracebackhide__ = True
        self.has_diverged = True
        self._keep(comparisons)
        self.result.verdict = Verdict.DIVERGED
        raise mark_own(with_message(DivergenceError, describe_failure(self.result)))

    def _keep(self, comparisons: list[tuple[RunResult, Comparison]]) -> None:
        self.result.comparisons[:] = comparisons
