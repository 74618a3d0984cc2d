"""Diagnosis of a diverged test: more runs of it, in processes of their own, within a budget.

It comes between the verdict and its message. Whatever goes wrong here becomes a note: the verdict stays what the runs
gave.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes import EngineName
from pytest_repro.comparing import compare_artifacts
from pytest_repro.diagnosis.investigation import Case, Investigation, find_diverged
from pytest_repro.diagnosis.naming import name_causes
from pytest_repro.engines.base import RunSettings
from pytest_repro.engines.child_session import ChildSessions, refuses_fork
from pytest_repro.engines.fork_client import ForkServerError
from pytest_repro.engines.job import ChildAnswer
from pytest_repro.engines.time_limit import restart_timer, stop_timer
from pytest_repro.errors import ChildError, OutOfTimeError
from pytest_repro.model import JSON, Artifacts, Condition, Diagnosis, RunResult, TestResult
from pytest_repro.model.redaction import HIDDEN, redact, redact_assignments, remember_assigned
from pytest_repro.model.secret_names import is_secret_name
from pytest_repro.session.budget import Budget
from pytest_repro.session.clock_readings import leave_out_readings
from pytest_repro.session.diagnosis_memory import DiagnosisMemory
from pytest_repro.session.flow import Plan
from pytest_repro.session.settings import TestSettings
from pytest_repro.sources.base import Observation, Source
from pytest_repro.sources.left_files import find_left, moved_aside
from pytest_repro.sources.pins import PATCHED
from pytest_repro.sources.probing import ProbeRequest
from pytest_repro.sources.registry import find_source
from pytest_repro.sources.sightings import AT
from pytest_repro.tracing.watch_job import Watch

if TYPE_CHECKING:
    from pytest_repro.reporting.live import LiveLine

#: The axis whose value numbers a fresh process.
_PROCESS = "process"
#: Runs of a diagnosis that comes to its end, for the live line.
TYPICAL_RUNS = 20
#: Bound on the clock for one run, as a multiple of the CPU time that is left.
RUN_FACTOR = 5.0


@dataclass(frozen=True, slots=True)
class DiagnosisMeans:
    """Facts of the session that a diagnosis needs.

    Attributes
    ----------
    budget : Budget
        Of this test.
    memory_limit_bytes : int
        Limit on what one run captures in memory.
    started : float
        Start of the session [s since 1970].
    memory : DiagnosisMemory
        Of the session.
    live : LiveLine
        Shows which run is in progress.
    find_paths : callable
        Returns the files whose tests the session may run by forks.
    readings : mapping of name -> what it holds
        Local variables of the test that hold only readings of the clock, and are left out.
    """

    budget: Budget
    memory_limit_bytes: int
    started: float
    memory: DiagnosisMemory
    live: LiveLine
    find_paths: Callable[[], list[str]]
    readings: Mapping[str, str]


class SessionProber:
    """Executes the runs of a diagnosis as children of the session.

    Parameters
    ----------
    item : pytest.Function
    plan : Plan
    settings : TestSettings
    means : DiagnosisMeans
    endings : collection of str
        How the test's runs ended, as :func:`_describe_ending` says, if that is what is compared. A pin that makes
        the test end in a new way shows nothing of its cause.
    """

    def __init__(
        self,
        item: pytest.Function,
        plan: Plan,
        settings: TestSettings,
        means: DiagnosisMeans,
        endings: Collection[str] = (),
    ) -> None:
        self.item: pytest.Function = item
        self.plan: Plan = plan
        self.settings: TestSettings = settings
        self.means: DiagnosisMeans = means
        self.condition: Condition = plan.runs[0].complete
        self.budget: Budget = means.budget
        self.runs: int = 0
        self.notes: list[str] = []
        self._endings = set(endings)
        self._children: dict[str, ChildSessions] = {}
        self._has_learnt = False
        self._process = 0
        # While other workers run, a file may be one that another test needs at this moment.
        self._since = None if hasattr(item.config, "workerinput") else means.started
        self._left: set[str] = set()

    def close(self) -> None:
        """End all runs that are still going."""
        for children in self._children.values():
            children.close()

    def observe(
        self,
        pins: Iterable[str] = (),
        *,
        spawn: bool = False,
        repeats: int = 1,
        record_sources: bool = False,
        restores: Iterable[str] = (),
        condition: Condition | None = None,
        watch: Path | None = None,
    ) -> Observation:
        """Execute a run, as :class:`pytest_repro.diagnosis.observing.Prober` describes."""
        if self.budget.is_spent:
            raise OutOfTimeError
        names = list(pins)
        sources = _with_needed([find_source(name) for name in names])
        at_lines = [name for name in names if AT in name]
        is_changed = bool(sources or restores)
        use_spawn = spawn or bool(refuses_fork(self.item.config))
        compiled = str(self._folder / "compiled")
        probe = ProbeRequest(repeats, record_sources, list(restores), self._since, compiled, at_import=use_spawn)
        self.runs += 1
        self._show(sources, list(restores), repeats=repeats, is_watched=watch is not None)
        pinned = self._pin(sources, at_lines, condition or self.condition, fresh=spawn)
        with moved_aside(self._find_left() if any(source.moves_files for source in sources) else ()):
            try:
                found = self._execute("spawn" if use_spawn else "fork", pinned, probe, watch)
            except ForkServerError:
                if use_spawn:
                    raise
                found = self._execute("spawn", pinned, probe, watch)
            except ChildError as error:
                if self.budget.is_spent:
                    # The run's time limit was what was left of the budget: it did not fail by itself.
                    self.notes.append(f"a run of the diagnosis did not return in time: {str(error)[:300]}")
                    raise OutOfTimeError from None
                found = Observation(Artifacts(), {}, str(error) or "it left no result")
        if self._endings and found.ending:
            if is_changed and found.ending not in self._endings:
                found = Observation(Artifacts(), found.seen, f"it ended in a new way: {found.ending}")
            self._endings.add(found.ending)
        self._left |= {str(entry["detail"]) for entry in found.sightings("left")}
        return found

    def has_left_files(self) -> bool:
        """Return whether a run found files that an earlier run left and that can be moved aside."""
        return bool(self._find_left())

    def _find_left(self) -> list[Path]:
        return find_left(self._left, self._since) if self._since is not None else []

    def differ(self, one: Observation, other: Observation) -> bool:
        """Compare under the test's own tolerance, or how the runs ended."""
        if self._endings:
            return one.ending != other.ending
        return bool(compare_artifacts(other.artifacts, one.artifacts, self.settings.policy).divergences)

    def make_trace_path(self) -> Path:
        """Return a new name for a trace, which is removed with the prober."""
        return self._folder / f"trace-{secrets.token_hex(4)}"

    def _show(self, sources: list[Source], restores: list[str], *, repeats: int, is_watched: bool) -> None:
        step = "plain run" if repeats == 1 else "second run in one process"
        if restores:
            step = f"{', '.join(restores)} restored"
        elif is_watched:
            step = "looking for the line"
        elif sources:
            step = f"{', '.join(dict.fromkeys(source.label for source in sources))} pinned"
        count = f"{self.runs} of about {max(TYPICAL_RUNS, self.runs)}"
        self.means.live.show(str(self.item.nodeid), f"diagnosing: {step}, {count}", self.budget.describe_spent)

    def _pin(self, sources: list[Source], at_lines: list[str], condition: Condition, *, fresh: bool) -> Condition:
        own = [source.condition(self.runs) for source in sources]
        in_place: list[JSON] = [source.name for source, entry in zip(sources, own, strict=True) if entry is None]
        in_place += at_lines
        values: dict[str, JSON] = {**condition.as_dict(), PATCHED.name: in_place, **dict(filter(None, own))}
        if fresh and _PROCESS in self.plan.axis_names:
            # Each of them another process, as along the axis: the next hash seed too, unless that is pinned.
            self._process += 1
            values[_PROCESS] = self._process
        return Condition(tuple(values.items()))

    @property
    def _folder(self) -> Path:
        """Folder for traces and for what is compiled."""
        if not self._children:
            self._find_children("spawn" if refuses_fork(self.item.config) else "fork")
        return next(iter(self._children.values())).folder

    def _execute(self, engine: EngineName, condition: Condition, probe: ProbeRequest, path: Path | None) -> Observation:
        children = self._find_children(engine)
        children.settings = replace(children.settings, timeout_s=self._limit_s())
        watch = None if path is None else Watch(str(path), budget_s=max(1.0, self.budget.left_s / 2))
        answer, artifacts = self._run(children, condition, probe, watch)
        if engine == "fork" and answer.imported and not self._has_learnt:
            # Once: a late import shifts everything after it, and a run after this is quicker.
            self._has_learnt = True
            children.learn(answer, at_once=True)
            answer, artifacts = self._run(children, condition, probe, watch)
        if self._endings:
            ending = "xfailed" if answer.wasxfail else answer.outcome
            return Observation(artifacts, answer.seen, ending=_describe_ending(ending, answer.where))
        failure = "" if answer.outcome == "passed" else answer.reason or answer.outcome
        return Observation(leave_out_readings(artifacts, self.means.readings), answer.seen, failure)

    def _run(
        self, children: ChildSessions, condition: Condition, probe: ProbeRequest, watch: Watch | None
    ) -> tuple[ChildAnswer, Artifacts]:
        begun = time.monotonic()
        try:
            answer, artifacts = children.run(self.runs, self.settings.seed, condition, probe=probe, watch=watch)
        except ChildError:
            self.budget.take(time.monotonic() - begun)  # nobody knows what it used: at most that
            raise
        self.budget.take(answer.cpu_s)
        return answer, artifacts

    def _limit_s(self) -> float:
        """Return the time limit of a run on the clock [s]: one that hangs must not take the time of all others."""
        return max(1.0, min(self.budget.clock_left_s, RUN_FACTOR * self.budget.left_s))

    def _find_children(self, engine: EngineName) -> ChildSessions:
        if engine not in self._children:
            settings = RunSettings(
                [*self.plan.axis_names, PATCHED.name],
                keeps_locals=self.settings.keeps_locals,
                timeout_s=self._limit_s(),
                memory_limit_bytes=self.means.memory_limit_bytes,
            )
            self._children[engine] = ChildSessions(self.item, settings, engine, self.means.find_paths)
        return self._children[engine]


def _with_needed(sources: list[Source]) -> list[Source]:
    """Add the sources without which pinning these shows nothing."""
    names = [source.name for source in sources]
    needed = [name for source in sources for name in source.needs if name not in names]
    return [*sources, *map(find_source, dict.fromkeys(needed))]


def _describe_ending(ending: str, where: str) -> str:
    """Describe how a run ended, by which it is the same as another or not."""
    return f"{ending} at {Path(where).name}" if where else ending


def diagnose(
    item: pytest.Function,
    plan: Plan,
    settings: TestSettings,
    means: DiagnosisMeans,
    result: TestResult,
    ended: RunResult | None = None,
) -> None:
    """Find out why a test diverged, and add the causes to its result. A failure of this becomes a note.

    `ended` is the run that ended in another way than run 1, if that is all that differs.
    """
    started = time.monotonic()
    result.diagnosis = Diagnosis()
    stop_timer(item)
    try:
        with means.budget.counting():
            _investigate(item, plan, settings, means, result, ended)
    except Exception as error:
        result.causes = result.causes or name_causes(result)
        result.diagnosis.complete = False
        result.notes.append(f"the diagnosis could not be finished: {type(error).__name__}: {str(error)[:300]}")
    finally:
        result.diagnosis.seconds = round(time.monotonic() - started, 3)
        result.diagnosis.cpu_s = round(means.budget.spent_s, 3)
        _hide_secrets(result.diagnosis)
        means.live.clear()
        with suppress(Exception):
            restart_timer(item)


def _hide_secrets(found: Diagnosis) -> None:
    """Remove secrets from the texts of a diagnosis, before a report cuts and wraps them: a half is not recognised."""
    first = found.first_divergence
    # Of all texts first: the name may be next to the value in another one.
    sides = [f"{first.name} = {text}" for text in (first.expected, first.actual)] if first is not None else []
    rows = [text for row in found.rows for text in (row.source, row.expected, row.actual)]
    remember_assigned("\n".join([*sides, first.source if first is not None else "", *rows]))
    if first is not None:
        hides_all = is_secret_name(first.name)
        one, other = (HIDDEN if hides_all else redact_assignments(text) for text in (first.expected, first.actual))
        found.first_divergence = replace(
            first,
            source=redact_assignments(first.source),
            expected=one,
            actual=other,
            reordered=redact(first.reordered),
        )
    found.rows = [
        replace(
            row,
            source=redact_assignments(row.source),
            expected=redact_assignments(row.expected),
            actual=redact_assignments(row.actual),
        )
        for row in found.rows
    ]


def _investigate(
    item: pytest.Function,
    plan: Plan,
    settings: TestSettings,
    means: DiagnosisMeans,
    result: TestResult,
    ended: RunResult | None,
) -> None:
    run = ended or find_diverged(result)[0]
    # One that was added after the planned ones repeats run 1.
    planned = next((each for each in plan.runs if each.index == run.index), plan.runs[0])
    one, other = (_describe_ending(each.ending, each.where) for each in (result.runs[0], run))
    ends = None if ended is None else (one, other)
    prober = SessionProber(item, plan, settings, means, ends or ())
    case = Case(
        result,
        run,
        ends,
        result.engine,
        base=plan.runs[0].complete,
        differs_in=planned.differs_in,
        complete=plan.conditions.complete,
        arguments=(plan.runs[0].arguments, planned.arguments),
        root=item.config.rootpath,
        budget=means.budget,
        memory=means.memory.recall(str(item.nodeid)),
        readings=means.readings.keys(),
    )
    investigation = Investigation(case, prober)
    try:
        investigation.run()
    finally:
        prober.close()
        result.notes += prober.notes
        result.causes = investigation.name_causes()
        if (search := investigation.facts.search) is not None:
            means.memory.keep(str(item.nodeid), search, investigation.facts.place)
