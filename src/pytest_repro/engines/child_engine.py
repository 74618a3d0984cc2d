"""The fork and spawn engines: the runs of a plan by child processes, the first one alone and the others in parallel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from pytest_repro.axes import Effect, EngineName
from pytest_repro.engines.base import (
    EngineUnusableError,
    FreshInterpretersNeededError,
    OwnForksNeededError,
    PlannedExecution,
    RunOutcome,
    Take,
)
from pytest_repro.engines.child_session import Answer, ChildSessions
from pytest_repro.engines.concurrency import RunsAhead
from pytest_repro.engines.item_run import has_xfail_mark
from pytest_repro.engines.job import ChildAnswer
from pytest_repro.engines.relay import WarningRelay, publish_subtests, show_live_logs
from pytest_repro.environments.environment import EnvironmentRunError
from pytest_repro.errors import ChildError
from pytest_repro.model import Artifacts, EquivalenceFinding, Judgement, NotCompared, Reached
from pytest_repro.model.codec import decode

#: A first run shorter than this is made again once the fork server has imported its modules, so that all runs find the
#: same ones. After a longer run the imports weigh nothing, and the server learns them when the test is over.
SHORT_S = 20.0
_ENDING_MARKS = ("skip", "skipif", "xfail")


class ChildEngine:
    """Makes the runs of a plan by child processes, several at the same time.

    The first run is made alone: a test that fails by itself is not started again, and the number of the others at the
    same time depends on the memory that it took.

    Parameters
    ----------
    shows_output : bool
        Whether the children's output goes to the terminal as it comes.
    clear_line : callable
        Clears the terminal's live line before something is written.
    in_series : bool
        Whether forks may make the runs that have made runs of other tests.

    Attributes
    ----------
    sections : list of (name, text)
        Captured output of the latest run of the plan, as a report holds it.
    has_published : bool
        Whether the subtests of a first run were published, by this engine or by another one before it.
    is_provisional : bool
        Whether forks made the runs that had run other tests before.
    """

    can_probe = True
    adds_control = False

    def __init__(
        self,
        children: ChildSessions,
        runs: Sequence[PlannedExecution],
        *,
        shows_output: bool,
        clear_line: Callable[[], None],
        warnings: WarningRelay,
        has_published: bool = False,
        in_series: bool = False,
    ) -> None:
        self.name: EngineName = children.engine
        self.sections: list[list[str]] = []
        self._children = children
        self._first, *self._others = runs
        self._total = len(runs)
        self._shows_output = shows_output
        self._clear_line = clear_line
        self._warnings = warnings
        self.has_published: bool = has_published
        self._in_series = in_series
        self.is_provisional: bool = in_series and children.has_series
        self._peak_kib = 0
        self._first_outcome: RunOutcome | None = None
        #: False after a first run that skipped, which only one other follows.
        self._may_run_ahead = True
        self._ahead: RunsAhead[Answer] | None = None
        if shows_output:
            children.echo = self._echo

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        """Return a run's outcome as soon as its child has ended."""
        if take is None:
            return self._read_outcome(*self._ask(planned, recurs=False))
        is_alone = planned is self._first and not self._may_all_run_ahead
        answer, artifacts = self._ask_first() if is_alone else self._ask_ahead(planned)
        outcome = self._read_outcome(answer, artifacts)
        self._check_ending(planned, outcome)
        self.sections = answer.sections
        if not self._shows_output:
            self._clear_line()
            show_live_logs(self._children.item.config, answer.sections, planned.index, self._total)
        self._warnings.publish(answer.warnings)
        is_first = planned is self._first and not self.has_published
        publish_subtests(self._children.item, answer.subtests, is_first=is_first)
        self.has_published = True
        self._may_run_ahead &= outcome.outcome == "passed"
        if outcome.outcome == "passed":
            take(outcome)
        return outcome

    def finish(self, *, is_last: bool) -> bool:
        """Return True: the child has torn down its own run."""
        return True

    def close(self) -> None:
        """End what still runs, and remove everything that the runs left."""
        self._children.stop()
        if self._ahead is not None:
            self._ahead.close()
        self._children.close()

    def _read_outcome(self, answer: ChildAnswer, artifacts: Artifacts) -> RunOutcome:
        outcome = _read_outcome(answer, artifacts)
        outcome.ends_by_mark = outcome.is_xfail and has_xfail_mark(self._children.item)
        return outcome

    def _check_ending(self, planned: PlannedExecution, outcome: RunOutcome) -> None:
        """Reject an ending that might be due to the fork, where the plan itself needs an interpreter for each run.

        FreshInterpretersNeededError means that fresh ones have to show it.
        """
        first = self._first_outcome = self._first_outcome or outcome
        has_ended_otherwise = outcome.outcome != first.outcome
        if self.is_provisional and (has_ended_otherwise or not (outcome.outcome == "passed" or outcome.ends_by_mark)):
            raise OwnForksNeededError(f"run {planned.index} ended as {outcome.outcome}")
        if not self._children.shares_interpreters or "fork" not in (outcome.engine, first.engine):
            return
        has_failed = outcome.outcome in ("failed", "error") and not outcome.ends_by_mark
        if has_failed or has_ended_otherwise:
            raise FreshInterpretersNeededError(f"run {planned.index} ended as {outcome.outcome} in a fork")

    def _ask(self, planned: PlannedExecution, *, recurs: bool = True) -> Answer:
        try:
            return self._children.run(
                planned.index,
                planned.seed,
                planned.complete,
                is_fresh=planned.is_fresh,
                in_series=self._in_series and recurs,
                recurs=recurs,
            )
        except (EngineUnusableError, EnvironmentRunError):
            raise
        except ChildError as error:
            if self.is_provisional and recurs:
                raise OwnForksNeededError(str(error)) from None
            if self._children.shares_interpreters:
                raise FreshInterpretersNeededError(str(error)) from None
            raise

    def _ask_ahead(self, planned: PlannedExecution) -> Answer:
        if not self._may_run_ahead:
            return self._ask(planned)
        if self._ahead is None:
            limit = 1 if self._shows_output else None
            runs = [self._first, *self._others] if planned is self._first else self._others
            self._ahead = RunsAhead(self._ask, runs, peak_kib=self._peak_kib, limit=limit)
        return self._ahead.result(planned)

    @property
    def _may_all_run_ahead(self) -> bool:
        """Whether the first run may be made with the others: no mark says that it ends early."""
        return self.is_provisional and not any(map(self._children.item.get_closest_marker, _ENDING_MARKS))

    def _ask_first(self) -> Answer:
        answer, artifacts = self._ask(self._first)
        if self.is_provisional:
            self._children.learn(answer, at_once=False)
            return answer, artifacts
        self._peak_kib = answer.peak_kib
        if not answer.imported and not answer.sources:
            return answer, artifacts
        is_short = answer.seconds < SHORT_S
        self._children.learn(answer, at_once=is_short)
        # Modules of our own make no difference to a test, nor do the lines of sources.
        changes_others = any(not name.startswith("pytest_repro.") for name in answer.imported)
        if is_short and changes_others and answer.outcome == "passed" and self._others:
            if self._in_series:
                self._children.end_series()
            answer, artifacts = self._ask(self._first)
            if answer.sources:
                # Modules are learnt once: the other runs must all find the same ones.
                self._children.learn(answer, at_once=True, sources_alone=True)
        return answer, artifacts

    def _echo(self, output: bytes) -> None:
        self._clear_line()
        sys.stdout.flush()
        with suppress(OSError):
            os.write(1, output)


def _read_outcome(answer: ChildAnswer, artifacts: Artifacts) -> RunOutcome:
    return RunOutcome(
        outcome=answer.outcome,
        reason=answer.reason,
        artifacts=artifacts,
        took_locals=answer.took_locals,
        has_results=bool(artifacts.leaves) or answer.took_locals,
        effects=tuple(Effect.from_json(effect) for effect in answer.effects),
        settings=answer.settings,
        inputs=answer.inputs,
        equivalences=decode(list[EquivalenceFinding], answer.equivalences, "equivalences"),
        seconds=answer.seconds,
        cpu_s=answer.cpu_s,
        longrepr=answer.longrepr,
        is_xfail=answer.wasxfail,
        where=answer.where,
        engine=answer.engine,
        interpreter=answer.interpreter,
        tests_before=answer.tests_before,
        refused=[NotCompared(name, kind, reason, is_state=True) for name, kind, reason in answer.refused],
        judgements={Judgement(*rest): count for *rest, count in answer.judgements},
        reached=dict.fromkeys(Reached(kind, place) for kind, place in answer.reached),
    )
