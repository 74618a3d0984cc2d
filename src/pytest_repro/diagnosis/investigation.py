"""Investigation of one diverged test: its sources or the axis to blame, then the place, then the causes' names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pytest_repro.axes import is_built_in
from pytest_repro.axes.isolate import CONFIRMATIONS
from pytest_repro.diagnosis.arguments import SUSPECTED, ArgumentEvidence, Traced, name_argument
from pytest_repro.diagnosis.axis_causes import AXES, AxisRuns
from pytest_repro.diagnosis.first_divergence import TracePair
from pytest_repro.diagnosis.naming import Facts, name_causes
from pytest_repro.diagnosis.needed_parts import Compared
from pytest_repro.diagnosis.observing import Memory, Prober, Search
from pytest_repro.diagnosis.places import location_at
from pytest_repro.diagnosis.procedure import Procedure
from pytest_repro.engines.condition import needs_interpreter
from pytest_repro.errors import OutOfTimeError
from pytest_repro.model import Cause, Comparison, Condition, Diagnosis, Location, RunResult, TestResult
from pytest_repro.sources.base import Observation
from pytest_repro.sources.registry import label_of

#: Watched runs executed until one differs: in the first attempt, and once the cause is known; if only their ends are
#: compared, in both.
FEW_WATCHED, MAX_WATCHED, MAX_WATCHED_BY_ENDING = 2, 4, 12
#: Share of the budget that the place leaves for the search. It comes first, since two runs may show it.
RESERVED = 0.5
#: Budget of the command that goes on where a diagnosis stopped, at least [s].
MORE_S = 120.0
#: Rows of the two traces shown before and after the first difference.
_ROWS = 6
#: The axis whose values are fresh processes, which any source may make differ.
_PROCESS = "process"

_Execute = Callable[[Path], Observation]


class Spending(Protocol):
    """A budget, of which the session's side counts what is spent."""

    def reserving(self, share: float) -> AbstractContextManager[None]:
        """Keep this share of the budget back for the time of a block."""

    def describe_limit(self) -> str:
        """Return which limit was reached."""

    @property
    def limit_s(self) -> float:
        """CPU time [s]."""

    @property
    def stopped_by(self) -> str:
        """The limit that was reached: ``test``, ``session`` or ``clock``."""


class InvestigationProber(Prober, Protocol):
    """A prober with a folder."""

    def make_trace_path(self) -> Path:
        """Return a new name for a trace."""


@dataclass(frozen=True, slots=True)
class Case:
    """A diverged test.

    Attributes
    ----------
    result : TestResult
        With its comparisons and the axes that are to blame.
    run : RunResult
        The first that diverged.
    ends : pair of str, or None
        How run 1 and this run ended, if they differ in that and in nothing else that was compared.
    engine : str
        What executed its runs.
    base : Condition
        Of run 1, complete.
    differs_in : Condition
        How the first diverged run differs from it.
    complete : callable (Condition) -> Condition
        Puts differences on top of the baseline's condition.
    arguments : (mapping, mapping)
        Of run 1 and of the diverged run.
    root : Path
        Of the session.
    budget : Spending
    memory : Memory
        What earlier diagnoses leave for this one.
    readings : collection of str
        Local variables of the test that hold only readings of the clock, which are not compared.
    """

    result: TestResult
    run: RunResult
    ends: tuple[str, str] | None
    engine: str
    base: Condition
    differs_in: Condition
    complete: Callable[[Condition], Condition]
    arguments: tuple[Mapping[str, object], Mapping[str, object]]
    root: Path
    budget: Spending
    memory: Memory = field(default_factory=Memory)
    readings: Collection[str] = ()


def _find_size(comparison: Comparison) -> float | None:
    """Return the largest relative difference, by norm. None if one artifact has no such number."""
    sizes = [d.norm_rel for d in comparison.divergences if d.norm_rel is not None]
    return max(sizes) if sizes and len(sizes) == len(comparison.divergences) else None


def find_diverged(result: TestResult) -> tuple[RunResult, Comparison]:
    """Return the first run that diverged, and its comparison."""
    return next((run, comparison) for run, comparison in result.comparisons if comparison.divergences)


class Investigation:
    """Investigates a case, and keeps what it found out: it remains if time runs out."""

    def __init__(self, case: Case, prober: InvestigationProber) -> None:
        assert case.result.diagnosis is not None
        self.case: Case = case
        self.prober: InvestigationProber = prober
        self.result: TestResult = case.result
        self.diagnosis: Diagnosis = case.result.diagnosis
        self.facts: Facts = Facts(by_ending=case.ends is not None)
        self._traced = Traced()
        self._is_out_of_time = False
        self._is_located = False
        #: Whether the first value that differs was seen to differ before the watched runs changed anything.
        self._is_older = False

    def run(self) -> None:
        """Investigate until the cause is found or the budget is spent."""
        try:
            self._investigate(self.case.run)
        except OutOfTimeError:
            self._note_budget()

    def _investigate(self, run: RunResult) -> None:
        if self.case.ends:
            self._blame_axis(run)
        blamed = self.result.blamed.get(run.index, [])
        axes = [axis for axis in blamed if axis != _PROCESS]
        if axes:
            self._examine_axis(axes[0])
        else:
            self._search_sources(is_process=blamed == [_PROCESS])

    def _blame_axis(self, run: RunResult) -> None:
        """Blame the only axis that a run with another ending varied, if runs with and without it end alike again.

        A test that passes or fails by chance, each half of the time, does so in 1 of 128 cases.
        """
        names = [name for name, _ in run.condition if name != _PROCESS]
        if len(names) != 1:
            if run.condition.as_dict().keys() == {_PROCESS}:
                self.result.blamed[run.index] = [_PROCESS]
            return
        base, spawn = self.case.base, self.case.engine == "spawn"
        varied = self.case.complete(Condition(((names[0], self.case.differs_in.as_dict()[names[0]]),)))
        for _ in range(CONFIRMATIONS):
            one, other = (self.prober.observe(condition=condition, spawn=spawn) for condition in (base, varied))
            if one.failure or other.failure or (one.ending, other.ending) != self.case.ends:
                return
        self.result.blamed[run.index] = names
        self.result.matrix[names[0]] = "diverged"

    def name_causes(self) -> list[Cause]:
        """Name the causes by all that was found out."""
        return name_causes(self.result, self.facts, self.case.root)

    def _note_budget(self) -> None:
        if self._is_out_of_time:
            return
        self._is_out_of_time = True
        self.diagnosis.complete = False
        budget = self.case.budget
        self.diagnosis.stopped_by = budget.stopped_by
        command = f"{self.result.repeat_command} --repro-diagnose-budget={max(MORE_S, 4 * budget.limit_s):g}"
        self.result.notes.append(f"the diagnosis stopped after {budget.describe_limit()}{self._describe_progress()}")
        self.result.notes.append(f"go on with: {command}")

    def _describe_progress(self) -> str:
        """Return what was found and tried by then, and what was not."""
        search = self.facts.search
        if search is not None and search.findings:
            return ", when the cause was already found"
        if search is None or not (search.ruled_out or search.not_tried):
            return " before it could try a source"
        parts = [("ruled out", search.ruled_out), ("not tried", search.not_tried)]
        return "".join(f"; {what}: {', '.join(dict.fromkeys(map(label_of, names)))}" for what, names in parts if names)

    def _search_sources(self, *, is_process: bool) -> None:
        """Search for the source that makes runs under one condition differ, then for the place."""
        same = [found for run, found in self.result.comparisons if is_process or not run.condition.values]
        differing = sum(bool(found.divergences) for found in same)
        compared = len(same)
        if self.case.ends:
            alike = [run for run in self.result.runs[1:] if is_process or not run.condition.values]
            compared = len(alike)
            differing = sum(run.ending != self.result.runs[0].ending for run in alike)
        may_leak = self.case.engine == "in_process" and not is_process
        procedure = Procedure(
            self.prober,
            differing,
            compared,
            needs_spawn=is_process,
            may_leak=may_leak,
            locate=self._locate,
            memory=self.case.memory,
            by_ending=self.case.ends is not None,
        )
        search = self.facts.search = procedure.run()
        if search.is_out_of_time:
            self._note_budget()
        self.diagnosis.ruled_out += search.ruled_out
        self.diagnosis.not_tried += search.not_tried
        self.diagnosis.complete &= search.complete
        self.result.notes += search.notes
        if search.where not in ("", "neither") and not self._is_located:
            self._watch_search(search, is_last=True)

    def _locate(self, search: Search) -> Location | None:
        """Find the place before the cause, with what the search knows by then, and return it."""
        with self.case.budget.reserving(RESERVED), suppress(OutOfTimeError):
            self._watch_search(search, is_last=False)
        return self.facts.place

    def _watch_search(self, search: Search, *, is_last: bool) -> None:
        pins, spawn = search.watched_pins, search.is_spawned
        attempts = MAX_WATCHED if is_last else FEW_WATCHED
        if self.case.ends:
            attempts = MAX_WATCHED_BY_ENDING
        repeats = 2 if search.where == "within" else 1
        self._watch(
            lambda path: self.prober.observe(pins[0], watch=path, spawn=spawn),
            lambda path: self.prober.observe(pins[1], watch=path, spawn=spawn, repeats=repeats),
            attempts=attempts,
            is_last=is_last,
        )

    def _examine_axis(self, axis: str) -> None:
        """Examine what an axis changes, by two watched runs: one in each condition."""
        differs_in = self.case.differs_in
        value = differs_in.as_dict()[axis]
        conditions = base, varied = self.case.base, self.case.complete(Condition(((axis, value),)))
        spawn = self.case.engine == "spawn"
        argument = "" if is_built_in(axis) else axis
        pair = self._watch_conditions(conditions, argument, spawn=spawn)
        if not spawn and self._is_older and needs_interpreter([axis]):
            # It differed before the run began. A fresh interpreter is watched while it imports the modules.
            pair = self._watch_conditions(conditions, argument, spawn=True) or pair
        if pair is None:
            return
        if is_built_in(axis):
            self.facts.axis = AxisRuns(axis, value, *pair, self.facts.first, self.facts.place)
        else:
            self._examine_argument(axis, pair, (base, varied))

    def _watch_conditions(
        self, conditions: tuple[Condition, Condition], argument: str, *, spawn: bool
    ) -> tuple[Observation, Observation] | None:
        """Watch a run in each of two conditions, and return the two that differ."""
        seen: list[Observation] = []

        def execute(condition: Condition) -> _Execute:
            def observe(path: Path) -> Observation:
                found = self.prober.observe(condition=condition, record_sources=True, watch=path, spawn=spawn)
                seen.append(found)
                return found

            return observe

        self._watch(execute(conditions[0]), execute(conditions[1]), argument)
        # The last two: the second run is repeated until it differs.
        return (seen[-2], seen[-1]) if len(seen) > 1 else None

    def _examine_argument(
        self, name: str, pair: tuple[Observation, Observation], conditions: tuple[Condition, Condition]
    ) -> None:
        def are_identical(pin: str) -> bool:
            spawn = self.case.engine == "spawn"
            one, other = (self.prober.observe((pin,), condition=condition, spawn=spawn) for condition in conditions)
            return not one.failure and not other.failure and not self.prober.differ(one, other)

        size = None if self.case.ends else _find_size(find_diverged(self.result)[1])
        first, place = self.facts.first, self.facts.place
        traced = replace(self._traced, row=self._find_row())
        found = name_argument(ArgumentEvidence(name, *pair, first, place, size, are_identical, traced))
        self.facts.arguments = [cause for cause in found if cause.confidence != SUSPECTED]
        self.result.suspected += [cause for cause in found if cause.confidence == SUSPECTED]

    def _watch(
        self,
        one: _Execute,
        other: _Execute,
        argument: str = "",
        *,
        attempts: int = MAX_WATCHED,
        is_last: bool = True,
    ) -> None:
        """Watch two runs, and find the first value that differs between them.

        Parameters
        ----------
        one, other : callable (path) -> Observation
            Executes a run that leaves its trace there.
        argument : str
            The argument of the test in which they differ on purpose.
        attempts : int
            How often the other run is executed until it differs.
        is_last : bool
            Whether no further runs are watched if none of these differs.
        """
        paths = self.prober.make_trace_path(), self.prober.make_trace_path()
        first = one(paths[0])
        for _ in range(attempts):
            second = other(paths[1])
            if first.failure or second.failure or self.prober.differ(first, second):
                break
        else:
            if is_last:
                self._note_hidden(paths)
            return
        self._is_located = True
        if not all(path.exists() for path in paths):
            self.result.notes.append("the place was not found: a watched run left no trace")
            return
        traces = TracePair(*paths, root=self.case.root)
        found = traces.find_first(
            ignore=(argument,) if argument else (), readings=self.case.readings, compared=self._find_compared()
        )
        self.result.notes += [f"watching was incomplete: {reason}" for reason in found.incomplete]
        if argument:
            self._traced = Traced(
                unrestored=traces.find_unrestored(),
                neighbours=traces.find_neighbours(self._find_sizes(argument)),
                compiled=traces.find_compiled(),
                cut=traces.find_cut(argument),
                added=traces.find_added_draw(argument),
                restarted=traces.find_restarted_loop(),
            )
        self._is_older = found.is_older
        self.facts.argument_changes = traces.find_argument_changes()
        if (divergence := found.first) is None:
            return
        function = divergence.function.rpartition(".")[2]
        self.facts.first = divergence
        self.facts.place = location_at(str(self.case.root / divergence.file), divergence.line, function)
        self.diagnosis.first_divergence = divergence
        self.facts.rows = self.diagnosis.rows = traces.side_by_side(divergence, rows=_ROWS)

    def _find_compared(self) -> Compared:
        """Return what differs, from which its place is followed back."""
        function = self.result.nodeid.partition("[")[0].rpartition("::")[2]
        if self.case.ends:
            return Compared(function=function, is_ending=True)
        names = {found.artifact for _, comparison in self.result.comparisons for found in comparison.divergences}
        return Compared(frozenset(names), function)

    def _note_hidden(self, paths: tuple[Path, Path]) -> None:
        """Note that watching hid the difference, and take the place from the source where one line gives it."""
        note = "watched runs were identical: watching hid the difference"
        if self._is_placed_by_source() and all(path.exists() for path in paths):
            self.facts.unwritten = TracePair(*paths, root=self.case.root).find_unwritten()
        if self.facts.unwritten is not None:
            note += "; the place is the one line that leaves memory unwritten"
        else:
            note += ", so its place is not known"
        self.result.notes.append(note)

    def _is_placed_by_source(self) -> bool:
        blamed = [AXES[axis] for axes in self.result.blamed.values() for axis in axes if axis in AXES]
        sources = [source for finding in self.facts.findings for source in finding.sources]
        return any(axis.is_placed_by_source for axis in blamed) or any(s.is_placed_by_source for s in sources)

    def _find_sizes(self, argument: str) -> tuple[int, int] | None:
        """Return the two values of an argument if they may be sizes."""
        base, varied = (arguments.get(argument) for arguments in self.case.arguments)
        return (base, varied) if type(base) is int and type(varied) is int else None  # a bool is not a size

    def _find_row(self) -> str:
        """Return all that the statement of the first difference changed, as the trace of the second run has it."""
        first = self.facts.first
        rows = [row for row in self.facts.rows if first and (row.file, row.line) == (first.file, first.line)]
        return next((row.actual for row in rows if row.differs), "")
