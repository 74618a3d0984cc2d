"""The section of the terminal summary: tests by verdict, the largest tolerated difference, what the runs can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_repro.comparing.elements import escape
from pytest_repro.model import Verdict
from pytest_repro.model.reported import Difference, ReportedTest
from pytest_repro.reporting.costs import cost_lines
from pytest_repro.reporting.grouping import group_findings, group_lines, unfinished_lines

#: Of a session whose results are written while it runs.
UNFINISHED = (
    "Not finished: the session is still running, or was ended before its last test. "
    "These are the results that it had by then."
)
#: Verdicts in the order in which a reader needs them, with their words.
WORDS = {
    Verdict.DIVERGED: "diverged",
    Verdict.ERROR: "error",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.WITHIN_TOLERANCE: "within tolerance",
    Verdict.IDENTICAL: "identical",
}
#: Words for tests that have the verdict inconclusive since there was nothing to compare on purpose.
SKIPPED, EXPECTED = "skipped", "failed as expected"
#: Types of values that were not compared, of which an example is shown.
MAX_OMISSIONS = 5
#: Kinds of hints shown; the JSON report has them all.
MAX_HINTS = 10
#: Tests that are named before they are shown in groups, and groups shown.
MAX_NAMED, MAX_GROUPS = 10, 10
#: Identical runs that bring the bound of :class:`Claim` to 5 %.
ENOUGH_RUNS = 60
ENOUGH_BOUND = 0.05


def count_verdicts(tests: Iterable[ReportedTest]) -> dict[Verdict, int]:
    """Return the number of tests of each verdict that occurs, failing ones first."""
    verdicts = [test.verdict for test in tests]
    return {verdict: verdicts.count(verdict) for verdict in WORDS if verdict in verdicts}


def say_verdicts(tests: Iterable[ReportedTest]) -> str:
    """Return the tally as a phrase: ``1 diverged, 3 identical``."""
    words = Counter(word_of(test) for test in tests)
    order = [*WORDS.values(), SKIPPED, EXPECTED]
    return ", ".join(f"{words[word]:,} {word}" for word in order if words[word]) or "no reproducible tests"


def word_of(test: ReportedTest) -> str:
    """Return the word for a test's verdict, and for one that was not compared on purpose what became of it."""
    if test.verdict is Verdict.INCONCLUSIVE and test.runs:
        if test.runs[0].outcome == "skipped":
            return SKIPPED
        if has_failed_as_expected(test):
            return EXPECTED
    return WORDS[test.verdict]


def summary_lines(
    tests: Sequence[ReportedTest], *, base_seed: int, width: int = 100, shows_all: bool = False
) -> list[str]:
    """Return the lines below the section's heading.

    Parameters
    ----------
    base_seed : int
    width : int
        Of the terminal [characters].
    shows_all : bool
        Whether each finding and each test is shown, however many there are.
    """
    lines = [f"{say_verdicts(tests)} ({len(tests)} test{'' if len(tests) == 1 else 's'}, --repro-seed={base_seed})"]
    lines += finding_lines(tests, width=width, shows_all=shows_all)
    lines += unfinished_lines(tests, shows_all=shows_all)
    by_outcome = sum(is_compared_by_outcome(test) for test in tests)
    if by_outcome:
        were = "test was" if by_outcome == 1 else "tests were"
        lines.append(f"{by_outcome:,} {were} compared by outcome only, since no value was left to compare")
    tolerated = [(test, each) for test in tests for each in test.tolerated[:1]]
    if tolerated:
        test, largest = min(tolerated, key=lambda pair: pair[1].rank)
        lines.append(f"largest difference tolerated: {say_tolerated(largest)} in {largest.artifact} of {test.nodeid}")
    lines += not_compared_lines(tests)
    lines += engine_lines(tests)
    lines += hint_lines(tests)
    lines += cost_lines(tests)
    claim = Claim.of(tests)
    return lines if claim is None else [*lines, claim.describe()]


def finding_lines(tests: Sequence[ReportedTest], *, width: int = 100, shows_all: bool = False) -> list[str]:
    """Return the tests that are no pass: few of them by name, many in groups of one finding, the worst first."""
    named = [(word_of(test), test) for test in tests if not test.verdict and word_of(test) != EXPECTED]
    groups = group_findings(tests)
    lines = []
    if len(named) <= MAX_NAMED:
        lines += [f"  {word:<13} {test.nodeid}{_known(test)}" for word, test in named]
        groups = [group for group in groups if len(group.tests) > 1 and group.is_located]
    else:
        skipped = [test.nodeid for word, test in named if word == SKIPPED]
        names = skipped if shows_all else []
        lines += [f"  {SKIPPED:<13} {name}" for name in names]
    return group_lines(groups, limit=None if shows_all else MAX_GROUPS, width=width) + lines


def _known(test: ReportedTest) -> str:
    found = test.acceptance
    return f" ({found.status})" if found is not None and found.status == "known" else ""


def has_failed_as_expected(test: ReportedTest) -> bool:
    """Return whether a test failed as its xfail says, which is no result of the runs' comparison."""
    return test.verdict is Verdict.INCONCLUSIVE and bool(test.runs) and test.runs[0].outcome in ("failed", "error")


def is_compared_by_outcome(test: ReportedTest) -> bool:
    """Return whether a test passed without a value that could be compared."""
    return bool(test.verdict) and not test.compared.elements and not test.equivalences


def not_compared_lines(tests: Sequence[ReportedTest]) -> list[str]:
    """Return what passing tests gave and no comparison looked at: a line for each type and reason, most values first.

    For a test that does not pass, its failure says so.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for test in tests:
        for value in test.not_compared if test.verdict else ():
            found.setdefault((value.type, value.reason), []).append(f"{value.name or 'the result'} of {test.nodeid}")
    if not found:
        return []
    count = sum(map(len, found.values())) + sum(test.not_compared_left_out for test in tests if test.verdict)
    lines = [f"not compared: {count:,} value{'' if count == 1 else 's'} (--repro-json lists all)"]
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    for (kind, reason), places in ranked[:MAX_OMISSIONS]:
        more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
        lines.append(escape(f"  {kind}: {reason}: {places[0]}{more}"))
    if len(ranked) > MAX_OMISSIONS:
        lines.append(f"  and {len(ranked) - MAX_OMISSIONS:,} other types or reasons")
    return lines


def engine_lines(tests: Sequence[ReportedTest]) -> list[str]:
    """Return how many runs were made by forks of interpreters started for their conditions, and how many were not."""
    runs = [run for test in tests for run in test.runs]
    interpreters = {run.interpreter for run in runs if run.interpreter}
    if not interpreters:
        return []
    forks, fresh = sum(run.engine == "fork" for run in runs), sum(run.engine == "spawn" for run in runs)
    other = f"; {fresh:,} had a fresh interpreter each" if fresh else ""
    after = sum(run.tests_before > 0 for run in runs)
    series = f"; {after:,} came after other tests in one process" if after else ""
    conditions = f"{len(interpreters):,} condition{'' if len(interpreters) == 1 else 's'}"
    runs_were = "run was made by a fork" if forks == 1 else "runs were made by forks"
    return [f"{forks:,} {runs_were} of interpreters started for {conditions}{other}{series}"]


def hint_lines(tests: Sequence[ReportedTest]) -> list[str]:
    """Return the hints of passing tests: a line for each, with the first test that it concerns."""
    found: dict[str, list[tuple[str, str]]] = {}
    for test in tests:
        for hint in test.hints if test.verdict else ():
            found.setdefault(hint.rpartition(" (")[0], []).append((test.nodeid, hint))
    if not found:
        return []
    lines = ["reached, and not varied by any run (--no-repro-hints omits this):"]
    for places in list(found.values())[:MAX_HINTS]:
        nodeid, hint = places[0]
        more = f"; so do {len(places) - 1:,} more" if len(places) > 2 else "; so does 1 more" if len(places) > 1 else ""
        lines.append(escape(f"  {nodeid} {hint}{more}"))
    return lines


def say_tolerated(found: Difference) -> str:
    """Return the figures of a tolerated difference and its bound: ``0.5 absolute, 0.5 relative (allowed: rtol=10)``."""
    relative = f", {found.max_rel:.2g} relative" if found.max_rel is not None else ""
    bound = f" (allowed: {found.allowed})" if found.allowed else ""
    return f"{_figure(found)}{relative}{bound}"


def _figure(found: Difference) -> str:
    if found.max_ulp is not None:
        return f"{found.max_ulp:,} ulp"
    return f"{found.max_abs:.2g} absolute" if found.max_abs is not None else found.note or "a difference"


@dataclass(frozen=True, slots=True)
class Claim:
    """The strength of the evidence that a session's matching runs are.

    Attributes
    ----------
    runs : int
        Of the test with the fewest runs in one condition.
    bound : float
        Share of runs up to which a fault could still be missed, with 95 % confidence: ``1 - 0.05**(1 / (runs - 1))``.
    is_identical : bool
        Whether the results were identical in all tests, and not only within their tolerance.
    once : int
        Tests that ran once in each condition, about which no such claim can be made.

    Notes
    -----
    Only repeats count. A run in another condition (`process` aside, which alone changes nothing that a user sets) shows
    that this condition makes no difference, and nothing about faults that occur by chance.
    """

    runs: int
    bound: float
    is_identical: bool
    once: int

    @classmethod
    def of(cls, tests: Iterable[ReportedTest]) -> Claim | None:
        """Return the claim of a session's results, or None if no test was repeated."""
        # A test that only runs an equivalence's trials repeats nothing itself.
        passed = [test for test in tests if test.verdict and not (test.equivalences and len(test.runs) == 1)]
        repeats = [sum(set(run.condition) <= {"process"} for run in test.runs) for test in passed]
        repeated = [runs for runs in repeats if runs > 1]
        if not repeated:
            return None
        runs = min(repeated)
        is_identical = all(test.verdict is Verdict.IDENTICAL for test in passed)
        return cls(runs, 1 - 0.05 ** (1 / (runs - 1)), is_identical, len(repeats) - len(repeated))

    def describe(self) -> str:
        """Return the claim in words."""
        missed = f"a fault that shows in up to {100 * self.bound:.2g} % of runs could still be missed (95 % confidence)"
        runs = f"{self.runs} {'identical' if self.is_identical else 'matching'} runs"
        if self.bound > ENOUGH_BOUND:
            claim = f"{runs} are weak evidence: {missed}. {ENOUGH_RUNS} runs bring that to {100 * ENOUGH_BOUND:.0f} %."
        else:
            claim = f"{runs}: {missed}."
        if self.once:
            claim += (
                f" {self.once} test{'' if self.once == 1 else 's'} ran once in each condition and cannot be counted."
            )
        return claim
