"""Judge the runs of one test by comparing each run's artifacts with run 1's. Starts no run and prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from pytest_repro.axes import Effect
from pytest_repro.capturing import digest
from pytest_repro.comparing import compare_artifacts
from pytest_repro.comparing.message import describe_left_out, list_not_compared
from pytest_repro.comparing.reference import (
    ReferenceRules,
    choose_rules,
    compare_by_reference,
    tolerance_of_repeats,
    without,
)
from pytest_repro.engines.base import DEVICE, PlannedExecution
from pytest_repro.engines.condition import judge_effects
from pytest_repro.engines.parameters import describe_changed
from pytest_repro.errors import DivergenceError, InconclusiveError, RecordError, UsageError
from pytest_repro.model import (
    ANOTHER_SEED,
    REFERENCE,
    Artifacts,
    Comparison,
    Condition,
    NotCompared,
    RunResult,
    TestResult,
    Verdict,
)
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.reporting.failure import (
    OUTCOME_WORDS,
    compare_endings,
    describe_endings,
    describe_failure,
    describe_inconclusive,
    describe_run,
    with_message,
)
from pytest_repro.reporting.parts import Message
from pytest_repro.reporting.steps import is_step
from pytest_repro.session.budget import Budget
from pytest_repro.session.clock_readings import leave_out_readings
from pytest_repro.session.equivalence_axes import add_causes, judge_assertions
from pytest_repro.session.findings import AxisFindings
from pytest_repro.session.ledger import ExampleLedger, compare_outcomes
from pytest_repro.session.settings import TestSettings

if TYPE_CHECKING:
    from pytest_repro.session.recording import RecordStep

NOTHING_COMPARED = (
    "the test returned nothing and captured nothing, so there was nothing to compare: "
    "return the results (weights, predictions, metrics) or pass them to repro.capture(name, value)"
)
ALL_EMPTY = (
    "all that the test returned or captured is empty (not one element), so nothing was compared: "
    "return what is computed from data, and check that the data is there"
)
ONE_RUN = "fewer than two runs were made, so nothing was compared: use runs=2 or more"
NOTHING_VARIED = (
    "none of the axes took effect in this test (the notes say why), so the runs were no more than repeats: "
    "vary what the test depends on, or omit across="
)
SEED_IGNORED = (
    "seed ignored: another seed produced the same result, bit for bit, so the seed does not reach the code under test"
)


HOW_TO_COMPARE = (
    "Return the arrays, numbers or text that matter instead, or implement the hook pytest_repro_capture for the type"
)


class Judge:
    """Collects the runs of one test and reaches its verdict.

    Parameters
    ----------
    settings : TestSettings
    result : TestResult
        Filled in run by run.
    findings : AxisFindings, optional
        Where axes are varied.
    record : RecordStep, optional
        Where the test is recorded, or compared with its record.

    Attributes
    ----------
    compares_outcome : bool
        Whether a run's outcome counts where it has no artifacts, as of an unmarked test.
    budget : Budget
        Of what is done beyond the planned runs.
    diagnose : callable or None
        Finds out why a test diverged, before its failure is described. It is given the run that ended in another way
        than run 1, if that is all that differs.
    find_readings : callable or None
        Returns the local variables of the test that hold only readings of the clock, and what each holds.
    drawn_parameters : list of str
        Parameters of the test that have another value in each process.
    examples : ExampleLedger or None
        The comparisons of a Hypothesis test, until they are taken into the result.
    """

    def __init__(
        self,
        settings: TestSettings,
        result: TestResult,
        findings: AxisFindings | None = None,
        record: RecordStep | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.settings = settings
        self.result = result
        self.budget: Budget = budget or Budget()
        self.findings = findings
        self.record = record
        self.compares_outcome = False
        self.diagnose: Callable[[TestResult, RunResult | None], None] | None = None
        self.find_readings: Callable[[], Mapping[str, str]] | None = None
        self.drawn_parameters: list[str] = []
        self.examples: ExampleLedger | None = None
        self._has_raised = False
        #: Those variables, once runs of a scan differ.
        self.readings: Mapping[str, str] = {}
        self._has_looked_for_readings = False
        self._baseline: Artifacts | None = None
        self._baseline_condition = Condition()
        self._baseline_effects: tuple[Effect, ...] = ()
        self._compared_runs = 0
        self._control_verdict: Verdict | None = None
        self._reference: Artifacts | None = None
        self._unjudged = ""
        self._suspect: tuple[PlannedExecution, Artifacts] | None = None
        #: By path: the runs of one test leave out the same.
        self._not_compared: dict[str, NotCompared] = {}

    @property
    def has_raised(self) -> bool:
        """Whether the test fails by its verdict."""
        return self._has_raised or (self.examples is not None and self.examples.has_diverged)

    def take(self, run: RunResult, artifacts: Artifacts, planned: PlannedExecution) -> Comparison | None:
        """Compare a run's artifacts with the baseline's, which the first call sets.

        It raises UsageError if a tolerance's glob matches none of run 1's artifacts.
        """
        if self._baseline is None:
            self._baseline = artifacts
            self._baseline_condition = planned.complete
            self._compared_runs = 1
            self.result.captured_steps = [name for name in artifacts.names if is_step(name)]
            self._check_globs(artifacts)
            run.digest = self._digest(artifacts)
            self._take_not_compared(artifacts.not_compared)
            return None
        if planned.is_reference:
            self._reference, run.digest = artifacts, self._digest(artifacts)
            return None
        comparison = self.compare(artifacts, planned)
        if comparison.divergences and self._leaves_out_readings():
            artifacts = leave_out_readings(artifacts, self.readings)
            comparison = self.compare(artifacts, planned)
        self._take_not_compared(comparison.not_compared)
        if comparison.divergences and self._suspect is None and DEVICE in planned.differs_in.as_dict():
            self._suspect = (planned, artifacts)
        same = comparison.verdict is Verdict.IDENTICAL
        run.digest = self.result.runs[0].digest if same else self._digest(artifacts)
        if planned.seed != self.settings.seed:
            self._control_verdict = Verdict.IDENTICAL if not comparison.differences else Verdict.DIVERGED
            return comparison
        self._compared_runs += 1
        self.result.comparisons.append((run, comparison))
        return comparison

    def _leaves_out_readings(self) -> bool:
        """Leave readings of the clock out of run 1, once runs of a scan differ, and return whether there are any."""
        if not self._has_looked_for_readings and self.find_readings is not None and self.compares_outcome:
            self._has_looked_for_readings = True
            self.readings = self.find_readings()
            if self.readings and self._baseline is not None:
                self._baseline = leave_out_readings(self._baseline, self.readings)
                self.result.runs[0].digest = self._digest(self._baseline)
        return bool(self.readings)

    def _take_not_compared(self, values: Iterable[NotCompared]) -> None:
        for value in values:
            known = self._not_compared.get(value.name)
            if known is None or value.is_state > known.is_state:
                self._not_compared[value.name] = value

    def _digest(self, artifacts: Artifacts) -> str | None:
        """Return the digest of a run's artifacts where the session needs it. No artifacts have none."""
        return digest(artifacts) if self.settings.wants_digests and artifacts.leaves else None

    def take_effects(self, planned: PlannedExecution, effects: tuple[Effect, ...]) -> None:
        """Note which axes really differed in a run: one that did not vary must not count as a pass."""
        if planned.index == 1:
            self._baseline_effects = effects
        elif self.findings is not None and planned.seed == self.settings.seed and not planned.is_reference:
            variations = judge_effects(self._baseline_effects, effects, planned.differs_in)
            self.findings.take_variations(planned.index, planned.differs_in, variations)

    @property
    def needs_control(self) -> bool:
        """Whether a run along an axis differs and no plain repeat of run 1 has been compared yet."""
        runs = [run for run, _ in self.result.comparisons]
        diverged = any(run.condition.values and comparison.divergences for run, comparison in self.result.comparisons)
        return self.findings is not None and diverged and all(run.condition.values for run in runs)

    @property
    def suspect(self) -> PlannedExecution | None:
        """The first run on another device that differs by more than allowed, until it was repeated there."""
        return self._suspect[0] if self._suspect is not None else None

    def take_device_repeat(self, artifacts: Artifacts) -> None:
        """Compare a repeat on the suspect's device with the suspect's own artifacts."""
        assert self._suspect is not None
        planned, first = self._suspect
        self._suspect = None
        if self.findings is not None:
            self.findings.take_device_repeat(planned.device, self._compare_repeat(artifacts, first, planned))

    def _compare_repeat(self, artifacts: Artifacts, first: Artifacts, planned: PlannedExecution) -> Comparison:
        assert self._baseline is not None
        policy = planned.policy
        if policy.auto:
            rules = choose_rules(self._baseline, self._reference, policy)
            first, artifacts = (without(side, rules.skipped) for side in (first, artifacts))
            policy = tolerance_of_repeats(rules, self._baseline, first)
        return compare_artifacts(artifacts, first, policy)

    def compare(self, artifacts: Artifacts, planned: PlannedExecution) -> Comparison:
        """Compare with the baseline, without counting the run."""
        assert self._baseline is not None
        if not planned.policy.auto:
            return compare_artifacts(artifacts, self._baseline, planned.policy, ignored_traits=planned.ignored_traits)
        rules = choose_rules(self._baseline, self._reference, planned.policy)
        comparison, is_open = compare_by_reference(artifacts, self._baseline, rules, planned.ignored_traits)
        self._note_reference(planned, rules, comparison, is_open)
        return comparison

    def _note_reference(
        self, planned: PlannedExecution, rules: ReferenceRules, comparison: Comparison, is_open: bool
    ) -> None:
        """Note how near a judgement by a reference was, and what the reference could not judge."""
        ratios = [d for d in comparison.differences if d.error_ratio is not None]
        notes = [f"automatic tolerance: {note}" for note in rules.notes]
        if ratios:
            worst = max(ratios, key=lambda d: (not d.within, d.error_ratio or 0.0))
            notes.append(f"{planned.differs_in.describe()}: {worst.artifact}: {worst.note}")
        self.result.notes += [note for note in notes if note not in self.result.notes]
        if is_open:
            self._unjudged = self._unjudged or rules.reason
            if self.findings is not None:
                self.findings.take_unjudged(planned.differs_in)

    def _check_globs(self, artifacts: Artifacts) -> None:
        names = artifacts.names
        unmatched = self.settings.policy.unmatched(names, list(artifacts.leaves)) if names else ()
        if unmatched:
            known = ", ".join(artifacts.names[:10]) + (" ..." if len(artifacts.names) > 10 else "")
            raise UsageError(
                f"tolerance: no artifact matches {', '.join(map(repr, unmatched))}; the test's artifacts are {known}. "
                "Correct the glob, or omit it."
            )

    def raise_unless_reproducible(self) -> None:
        """Reach the verdict, and raise a DivergenceError, InconclusiveError or RecordError unless it is a pass."""
        __tracebackhide__ = True
        self._take_examples()
        self._judge_comparisons()
        if self.drawn_parameters and self.result.verdict:
            self.result.verdict = Verdict.INCONCLUSIVE
            self.result.reason = describe_changed(self.drawn_parameters)
        if self.record is not None:
            self.record.settle(self.result, self._baseline, self._baseline_condition)
            self._raise_for_record(self.record)
        if self.result.verdict is Verdict.DIVERGED:
            self._has_raised = True
            if self.diagnose is not None and any(found.divergences for _, found in self.result.comparisons):
                self.diagnose(self.result, None)
            else:
                # Only now: a session in which nothing diverges loads no source and none of the diagnosis.
                from pytest_repro.diagnosis.naming import name_causes

                self.result.causes = name_causes(self.result)
            if self.findings is not None:
                self.result.causes = [*self.findings.causes, *self.result.causes]
            message = describe_failure(self.result)
            add_causes(self.result)  # the assertions' own messages hold them already
            raise with_message(DivergenceError, message)
        if self.result.verdict is Verdict.INCONCLUSIVE:
            self._has_raised = True
            raise with_message(InconclusiveError, describe_inconclusive(self.result))

    def _raise_for_record(self, record: RecordStep) -> None:
        __tracebackhide__ = True
        if record.failure is not None:
            self._has_raised = True
            raise with_message(DivergenceError, record.failure)
        if self.result.verdict is Verdict.ERROR:
            self._has_raised = True
            raise RecordError(redact_assignments(self.result.reason))

    def _judge_comparisons(self) -> None:
        verdicts = [comparison.verdict for _, comparison in self.result.comparisons]
        result = self.result
        if self.findings is not None:
            self.findings.settle()
        for finding in (finding for run in result.runs for finding in run.equivalences):
            self._take_not_compared(value for _, comparison in finding.trials for value in comparison.not_compared)
        self._take_not_compared(value for run in result.runs for value in run.refused)
        result.not_compared = list(self._not_compared.values())
        left_out = [value for value in result.not_compared if value.is_state]
        asserted, unclear = judge_assertions(self.settings.assertions, result)
        if Verdict.DIVERGED in (*verdicts, asserted):
            result.verdict = Verdict.DIVERGED
        elif self._unjudged:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, self._unjudged
        elif asserted is Verdict.INCONCLUSIVE:
            result.verdict, result.reason = asserted, unclear
        elif left_out:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, f"{describe_left_out(left_out)}. {HOW_TO_COMPARE}"
        elif self._compared_runs == 1 and self._baseline and self.record is not None and self.record.is_baseline:
            result.verdict = Verdict.IDENTICAL  # so far: the record is what the only run is compared with
        elif self._compared_runs < 2 and not self.settings.assertions:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, ONE_RUN
        elif Verdict.INCONCLUSIVE in verdicts and not self.compares_outcome:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, self._explain_nothing()
        elif verdicts and not self.compares_outcome and not any(c.elements for _, c in result.comparisons):
            result.verdict, result.reason = Verdict.INCONCLUSIVE, ALL_EMPTY
        elif self.findings is not None and self.findings.has_varied_nothing:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, NOTHING_VARIED
        elif self._control_verdict is Verdict.IDENTICAL:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, SEED_IGNORED
        elif Verdict.WITHIN_TOLERANCE in (*verdicts, asserted):
            result.verdict = Verdict.WITHIN_TOLERANCE
        else:
            result.verdict = Verdict.IDENTICAL
            if Verdict.INCONCLUSIVE in verdicts:
                result.notes.append("compared by its outcome only: no value of it was compared")

    def _explain_nothing(self) -> str:
        if not self._not_compared:
            return ALL_EMPTY if self._baseline is not None and self._baseline.leaves else NOTHING_COMPARED
        given = "; ".join(list_not_compared(list(self._not_compared.values()))[:3])
        return f"nothing that the test returned or captured could be compared: {given}. {HOW_TO_COMPARE}"

    def _take_examples(self) -> None:
        """Take the comparisons over the examples of a Hypothesis test into the result, once."""
        ledger = self.examples
        if ledger is None:
            return
        self._has_raised |= ledger.has_diverged
        self._take_not_compared(ledger.not_compared)
        self.examples = None
        self._compared_runs = self.settings.runs
        result = self.result
        if ledger.has_diverged:
            result.verdict = Verdict.DIVERGED
            result.notes.append(f"{ledger.examples} examples were run; the figures are of the smallest that differed")
        elif not ledger.compared:
            result.comparisons = [(run, Comparison()) for run in result.runs[1:]]
            if ledger.unrepeated:
                result.notes.append(
                    "its examples draw values while the test runs, or values that cannot be copied, so they were not "
                    "repeated one by one: the whole test was run twice"
                )
        else:
            result.notes.append(f"{ledger.compared} of {ledger.examples} examples were repeated and compared")
            if not result.comparisons:
                result.comparisons = [(run, ledger.largest) for run in result.runs[1:]]

    def has_ended_otherwise(self, run: RunResult) -> bool:
        """Return whether a later run ended in another way than run 1."""
        return run.index > 1 and run.ending != self.result.runs[0].ending

    def raise_for_ending(self, run: RunResult) -> None:
        """Raise DivergenceError for a run that passed although run 1 did not."""
        __tracebackhide__ = True
        self._diverge_by_ending(run)
        self._has_raised = True
        self._diagnose_ending(run)
        raise with_message(DivergenceError, self.describe_ending(run))

    def _diverge_by_ending(self, run: RunResult) -> None:
        first = self.result.runs[0]
        self.result.verdict, self.result.reason = Verdict.DIVERGED, compare_endings(first, run)
        self.result.comparisons.append((run, compare_outcomes(run.ending, first.ending)))

    def _diagnose_ending(self, run: RunResult) -> None:
        """Find out why a run ended in another way than run 1, if it had the same seed and precision."""
        if self.diagnose is not None and run.condition.as_dict().keys().isdisjoint((ANOTHER_SEED, REFERENCE)):
            self.diagnose(self.result, run)

    def settle(self, run: RunResult) -> None:
        """Reach the verdict where a run ended the test by itself: it failed, broke or skipped."""
        self._take_examples()
        if run.outcome == "passed" or self.has_raised:
            return
        result = self.result
        asserted, _ = judge_assertions(self.settings.assertions, result)
        has_quit = result.runs[0].outcome != "passed"
        # A run that ends as run 1 did is judged as run 1.
        first = not self.has_ended_otherwise(run)
        if asserted is Verdict.DIVERGED:
            # A test that asserts what the assertion returned fails by the divergence and not by itself.
            result.verdict, result.causes = Verdict.DIVERGED, []
            add_causes(result)
        elif REFERENCE in run.condition.as_dict():
            result.verdict, result.reason = (
                Verdict.INCONCLUSIVE,
                f"run {run.index}, in float64 for the automatic tolerance, {OUTCOME_WORDS[run.outcome]}: {run.reason}. "
                "Place models and data with repro.place(...), or give bounds instead of auto=True",
            )
        elif run.outcome == "skipped" and first:
            result.verdict, result.reason = Verdict.INCONCLUSIVE, f"skipped in its first run: {run.reason}"
        elif run.ending == "xfailed" and first:
            result.verdict, result.reason = (
                Verdict.INCONCLUSIVE,
                f"failed in its first run, as its xfail says: {run.reason}",
            )
        elif not first and (run.ending in ("skipped", "xfailed") or self.compares_outcome or has_quit):
            self._diverge_by_ending(run)
        else:
            result.verdict, result.reason = (
                Verdict.ERROR,
                f"run {run.index} {OUTCOME_WORDS[run.outcome]} by itself: {run.reason}",
            )
        if not first and asserted is not Verdict.DIVERGED:
            self._diagnose_ending(run)

    def describe_ending(self, run: RunResult) -> Message:
        """Describe how run 1 and a run that ended otherwise ended, where and why."""
        return describe_endings(self.result, run)

    def describe_run_failure(self, run: RunResult) -> Message:
        """Describe which run failed, under which seed, and how to repeat it."""
        return describe_run(self.result, run, planned=self.settings.runs)
