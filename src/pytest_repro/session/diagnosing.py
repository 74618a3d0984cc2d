"""Find out why a test diverged: more runs of it, in processes of their own, within a budget.

Stands between the verdict and its message. Whatever goes wrong here is a note: the verdict is what the runs gave.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes import is_built_in
from pytest_repro.comparing import compare_artifacts
from pytest_repro.diagnosis.arguments import ArgumentEvidence, Traced, name_argument
from pytest_repro.diagnosis.axis_places import refine_axis
from pytest_repro.diagnosis.first_divergence import TracePair
from pytest_repro.diagnosis.naming import name_address, name_finding, name_order, tells_generator
from pytest_repro.diagnosis.observing import Observation, OutOfTimeError
from pytest_repro.diagnosis.procedure import Procedure
from pytest_repro.diagnosis.uses import location_at
from pytest_repro.engines.base import PlannedExecution
from pytest_repro.engines.child_session import ChildSessions, refuses_fork
from pytest_repro.engines.fork_client import ForkServerError
from pytest_repro.engines.time_limit import restart_timer, stop_timer
from pytest_repro.errors import ChildError
from pytest_repro.model import JSON, Artifacts, Condition, Diagnosis, FirstDivergence, Location, TestResult
from pytest_repro.session.findings import PROCESS
from pytest_repro.session.flow import Plan
from pytest_repro.session.left_files import find_left, moved_aside
from pytest_repro.session.settings import TestSettings
from pytest_repro.sources.pins import CALLS, ORDERS, SOURCES, SourcesPin
from pytest_repro.sources.probing import ProbeRequest
from pytest_repro.tracing.watch_job import Watch

if TYPE_CHECKING:
    from pytest_repro.reporting.live import LiveLine

#: Pins that :class:`~pytest_repro.sources.pins.SourcesPin` takes; the others are conditions of their own.
_IN_PLACE = (*SOURCES, *ORDERS, *CALLS)
_SOURCES = SourcesPin.name
#: The one pin that is no condition of the run: the files are moved before it.
_LEFT = "disk"
#: Watched runs made until one differs.
MAX_WATCHED = 4
#: Share of the budget that the search leaves for the place.
RESERVED = 0.25
#: Hidden condition or axis -> its value, by pin.
_OWN: dict[str, tuple[str, JSON]] = {
    "foreign": ("pin:foreign", True),
    "hash": ("pin:hash", True),
    "address": ("pin:address", True),
    "heap": ("pin:heap", True),
    "omp": ("pin:omp", True),
    "listing": ("file_order", "sorted"),
    "memory": ("memory", 0),
}
#: What differs -> what is held still in either of the two runs that are watched.
_WATCHED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {"left": ((_LEFT,), ()), "shifted": ((), ("shift",))}
#: Pins without which another one shows nothing: an address pinned under another hash seed is still another order.
_NEEDS = {"address": ("hash",)}


@dataclass(frozen=True, slots=True)
class DiagnosisMeans:
    """Facts of the session that a diagnosis needs.

    Attributes
    ----------
    budget_s : float
        Wall-clock time for one test's diagnosis [s].
    memory_limit_bytes : int
        Limit on what one run captures in memory.
    started : float
        Start of the session [s since 1970].
    live : LiveLine
        Shows which run is in progress.
    find_paths : callable
        Returns the files whose tests the session may run by forks.
    """

    budget_s: float
    memory_limit_bytes: int
    started: float
    live: LiveLine
    find_paths: Callable[[], list[str]]


class SessionProber:
    """Makes the runs of a diagnosis as children of the session.

    Parameters
    ----------
    item : pytest.Function
    plan : Plan
    settings : TestSettings
    means : DiagnosisMeans
    condition : Condition
        What every run is given beyond the pins.
    """

    def __init__(
        self,
        item: pytest.Function,
        plan: Plan,
        settings: TestSettings,
        means: DiagnosisMeans,
        condition: Condition,
    ) -> None:
        self.item, self.plan, self.settings, self.means = item, plan, settings, means
        self.condition = condition
        self.deadline = time.monotonic() + means.budget_s
        self.runs = 0
        self._children: dict[str, ChildSessions] = {}
        self._has_learnt = False
        self._process = 0
        # Beside other workers, a file may be one that another test needs at this moment.
        self._since = None if hasattr(item.config, "workerinput") else means.started
        self._left: set[str] = set()

    def close(self) -> None:
        """End what still runs."""
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
        """Make a run; see :class:`pytest_repro.diagnosis.observing.Prober`."""
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        wanted = list(pins)
        self.warm_up()
        probe = ProbeRequest(repeats, record_sources, list(restores), self._since, str(self._folder / "compiled"))
        self.runs += 1
        self.means.live.show(f"{self.item.nodeid} diagnosed", self.runs, self.runs)
        use_spawn = spawn or bool(refuses_fork(self.item.config))
        pinned = self._pin(wanted, condition or self.condition, fresh=spawn)
        with moved_aside(self._find_left() if _LEFT in wanted else ()):
            try:
                found = self._ask("spawn" if use_spawn else "fork", pinned, probe, watch)
            except ForkServerError:
                if use_spawn:
                    raise
                found = self._ask("spawn", pinned, probe, watch)
            except ChildError as error:
                found = Observation(Artifacts(), {}, str(error) or "it left no result")
        self._left |= {str(entry["detail"]) for entry in found.sightings("left")}
        return found

    def has_left_files(self) -> bool:
        """Tell whether a run found what an earlier one left, and what may be moved aside is there."""
        return bool(self._find_left())

    def _find_left(self) -> list[Path]:
        return find_left(self._left, self._since) if self._since is not None else []

    def differ(self, one: Observation, other: Observation) -> bool:
        """Compare under the test's own tolerance."""
        return bool(compare_artifacts(other.artifacts, one.artifacts, self.settings.policy).divergences)

    def _pin(self, pins: Iterable[str], condition: Condition, *, fresh: bool) -> Condition:
        wanted = list(pins)
        wanted += [need for pin in wanted for need in _NEEDS.get(pin, ()) if need not in wanted]
        values: dict[str, JSON] = dict(condition.as_dict())
        in_place: list[JSON] = [pin for pin in wanted if pin in _IN_PLACE]
        values[_SOURCES] = in_place
        values.update(_OWN[pin] for pin in wanted if pin in _OWN)
        if "shift" in wanted:
            values["pin:shift"] = self.runs  # each by another amount
        if fresh and "process" in self.plan.axis_names:
            # Each of them another process, as along the axis: the next hash seed too, unless that is pinned.
            self._process += 1
            values["process"] = self._process
        return Condition(tuple(values.items()))

    def warm_up(self) -> None:
        """Make the folder for traces and for what is compiled."""
        if not self._children:
            self._find_children("spawn" if refuses_fork(self.item.config) else "fork")

    @property
    def _folder(self) -> Path:
        return next(iter(self._children.values())).folder

    def make_trace_path(self) -> Path:
        """Return a fresh name for a trace, gone with the prober."""
        return self._folder / f"trace-{secrets.token_hex(4)}"

    def _ask(self, engine: str, condition: Condition, probe: ProbeRequest, path: Path | None) -> Observation:
        children = self._find_children(engine)
        watch = None if path is None else Watch(str(path), budget_s=max(1.0, (self.deadline - time.monotonic()) / 2))
        answer, artifacts = children.run(self.runs, self.settings.seed, condition, probe=probe, watch=watch)
        if engine == "fork" and answer.imported and not self._has_learnt:
            # Once: what is imported late shifts everything, and a run after it is quicker.
            self._has_learnt = True
            children.learn(answer, at_once=True)
            answer, artifacts = children.run(self.runs, self.settings.seed, condition, probe=probe, watch=watch)
        failure = "" if answer.outcome == "passed" else answer.reason or answer.outcome
        return Observation(artifacts, answer.seen, failure)

    def _find_children(self, engine: str) -> ChildSessions:
        if engine not in self._children:
            self._children[engine] = ChildSessions(
                self.item,
                [*self.plan.axis_names, _SOURCES],
                keeps_locals=not self.settings.is_marked and self.settings.takes_all,
                timeout_s=max(1.0, self.deadline - time.monotonic()),
                engine=engine,  # type: ignore[arg-type]
                find_paths=self.means.find_paths,
                memory_limit_bytes=self.means.memory_limit_bytes,
            )
        return self._children[engine]


def diagnose(
    item: pytest.Function, plan: Plan, settings: TestSettings, means: DiagnosisMeans, result: TestResult
) -> None:
    """Find out why a test diverged, and add it to its result; a failure of this is a note."""
    started = time.monotonic()
    result.diagnosis = Diagnosis()
    stop_timer(item)
    try:
        _Diagnosis(item, plan, settings, means, result).run()
    except Exception as error:
        result.diagnosis.complete = False
        result.notes.append(f"the diagnosis could not be finished: {type(error).__name__}: {str(error)[:300]}")
    finally:
        result.diagnosis.seconds = round(time.monotonic() - started, 3)
        means.live.clear()
        with suppress(Exception):
            restart_timer(item)


class _Diagnosis:
    """One test's diagnosis: the sources or the axis, then the place."""

    def __init__(
        self, item: pytest.Function, plan: Plan, settings: TestSettings, means: DiagnosisMeans, result: TestResult
    ) -> None:
        self.item, self.plan, self.settings, self.means = item, plan, settings, means
        self.result, self.in_process = result, plan.engine == "in_process"
        assert result.diagnosis is not None
        self.diagnosis = result.diagnosis
        diverged = [(run, comparison) for run, comparison in result.comparisons if comparison.divergences]
        self.run_diverged, self.comparison = diverged[0]
        self.planned: PlannedExecution = next(p for p in plan.runs if p.index == self.run_diverged.index)
        self.prober = SessionProber(item, plan, settings, means, plan.runs[0].complete)

    def run(self) -> None:
        """Diagnose; what is found goes to the result at once, so that it stays if the time runs out."""
        try:
            blamed = self.result.blamed.get(self.run_diverged.index, [])
            axes = [axis for axis in blamed if axis != PROCESS]
            if axes:
                self._look_into_axis(axes[0])
            else:
                self._search_sources(is_process=blamed == [PROCESS])
        except OutOfTimeError:
            self._tell_budget()
        finally:
            self.prober.close()
            self._name_places_from_root()

    def _tell_budget(self) -> None:
        self.diagnosis.complete = False
        budget = self.means.budget_s
        note = f"the diagnosis ran out of its {budget:g} s; --repro-diagnose-budget=SECONDS gives it more"
        if note not in self.result.notes:
            self.result.notes.append(note)

    def _name_places_from_root(self) -> None:
        """Name files relative to the root, as node ids are: a report is read on another machine too."""
        prefix = f"{self.item.config.rootpath}{os.sep}"
        for index, cause in enumerate(self.result.causes):
            if cause.location is not None:
                place = replace(cause.location, file=cause.location.file.removeprefix(prefix))
                self.result.causes[index] = replace(cause, location=place)

    def _search_sources(self, *, is_process: bool) -> None:
        same = [c for run, c in self.result.comparisons if is_process or not run.condition.values]
        differing = sum(bool(c.divergences) for c in same)
        may_leak = self.in_process and not is_process
        end = self.prober.deadline
        # The place needs two runs more, and is worth as much as the cause.
        self.prober.deadline -= RESERVED * self.means.budget_s
        search = Procedure(self.prober, differing, len(same), needs_spawn=is_process, may_leak=may_leak).run()
        is_late = not search.complete and time.monotonic() > self.prober.deadline
        self.prober.deadline = end
        if is_late:
            self._tell_budget()
        self.diagnosis.ruled_out += search.ruled_out
        self.diagnosis.complete &= search.complete
        self.result.notes += search.notes
        place = None
        causes = [cause for finding in search.findings for cause in name_finding(finding)]
        self.result.causes += causes
        if search.where in ("between", "within", *_WATCHED):
            repeats = 2 if search.where == "within" else 1
            pins = _WATCHED.get(search.where, ((), ()))
            if search.where == "between" and all(finding.pins == ("heap",) for finding in search.findings):
                pins = _WATCHED["shifted"]  # watched runs may lie where they agree
            spawn = search.is_spawned
            try:
                place = self._watch(
                    lambda path: self.prober.observe(pins[0], watch=path, spawn=spawn),
                    lambda path: self.prober.observe(pins[1], watch=path, spawn=spawn, repeats=repeats),
                )
            except OutOfTimeError:
                self._tell_budget()
        if place is not None:
            seeds = tells_generator(self.diagnosis.rows, place)
            callers = [caller[2] for caller in self._first.callers] if self._first is not None else []
            named = [
                cause
                for finding in search.findings
                for cause in name_finding(finding, place, seeds=seeds, callers=callers)
            ]
            self.result.causes[len(self.result.causes) - len(causes) :] = named
        if self._first is not None and not search.findings:
            shares_hash_seed = not spawn or "hash" in search.ruled_out
            for name in (name_order, name_address):
                cause = name(self._first, place, shares_hash_seed=shares_hash_seed)
                if cause is not None:
                    self.result.causes.append(cause)
                    break

    def _look_into_axis(self, axis: str) -> None:
        """Look at what the axis changes: two watched runs, one in each condition."""
        base, varied = self.plan.runs[0].complete, self.planned.complete
        if len(self.planned.differs_in.values) > 1:
            values = {axis: self.planned.differs_in.as_dict()[axis]}
            varied = self.plan.conditions.complete(Condition(tuple(values.items())))
        spawn = self.plan.engine == "spawn"
        seen: list[Observation] = []

        def observe(condition: Condition) -> Callable[[Path | None], Observation]:
            def make(path: Path | None) -> Observation:
                found = self.prober.observe(condition=condition, record_sources=True, watch=path, spawn=spawn)
                seen.append(found)
                return found

            return make

        place = self._watch(observe(base), observe(varied), ignore=() if is_built_in(axis) else (axis,))
        if len(seen) < 2:
            return
        if is_built_in(axis):
            causes = [c for c in self.result.causes if c.axis == axis]
            refined = refine_axis(
                causes, axis, self.planned.differs_in.as_dict()[axis], seen[-2], seen[-1], self._first, place
            )
            others = [c for c in self.result.causes if c.axis != axis]
            self.result.causes = refined + others
            return

        def agrees(pin: str) -> bool:
            one = self.prober.observe((pin,), condition=base, spawn=spawn)
            other = self.prober.observe((pin,), condition=varied, spawn=spawn)
            return not one.failure and not other.failure and not self.prober.differ(one, other)

        sizes = [d.norm_rel for d in self.comparison.divergences if d.norm_rel is not None]
        size = max(sizes) if len(sizes) == len(self.comparison.divergences) else None
        traced = replace(self._traced, row=self._row)
        evidence = ArgumentEvidence(axis, seen[-2], seen[-1], self._first, place, size, agrees, traced)
        self.result.causes += name_argument(evidence)

    def _sizes(self, argument: str) -> tuple[int, int] | None:
        """Return the two values of an argument where they may be sizes."""
        base, varied = (plan.arguments.get(argument) for plan in (self.plan.runs[0], self.planned))
        return (base, varied) if type(base) is int and type(varied) is int else None  # a bool is none

    def _take_place_by_source(self, paths: tuple[Path, Path]) -> None:
        """Where watching hid the difference, tell where memory is left unwritten, if only one line leaves it so."""
        hid = "watched runs agree: watching hid the difference"
        note = f"{hid}, so its place is not known"
        for index, cause in enumerate(self.result.causes):
            if cause.code != "memory.uninitialised" or not all(path.exists() for path in paths):
                continue
            place = TracePair(*paths, root=self.item.config.rootpath).find_unwritten()
            if place is not None:
                self.result.causes[index] = replace(cause, location=place)
                note = f"{hid}; the place is the one line that leaves memory unwritten"
        self.result.notes.append(note)

    @property
    def _row(self) -> str:
        """All that the statement of the first difference changed, as the trace of the second run has it."""
        first = self._first
        rows = [r for r in self.diagnosis.rows if first and (r["file"], r["line"]) == (first.file, first.line)]
        return next((str(row["actual"]) for row in rows if row["differs"]), "")

    _first: FirstDivergence | None = None
    _traced = Traced()

    def _watch(
        self,
        one: Callable[[Path | None], Observation],
        other: Callable[[Path | None], Observation],
        ignore: tuple[str, ...] = (),
    ) -> Location | None:
        """Watch two runs that differ, and return where they part; None where they agreed or no value was seen."""
        self.prober.warm_up()
        paths = self.prober.make_trace_path(), self.prober.make_trace_path()
        first = one(paths[0])
        for _ in range(MAX_WATCHED):
            second = other(paths[1])
            if first.failure or second.failure or self.prober.differ(first, second):
                break
        else:
            self._take_place_by_source(paths)
            return None
        if not all(path.exists() for path in paths):
            self.result.notes.append("the place was not found: a watched run left no trace")
            return None
        root = self.item.config.rootpath
        traces = TracePair(*paths, root=root)
        found = traces.find_first(ignore=ignore)
        for reason in found.incomplete:
            self.result.notes.append(f"watching saw not everything: {reason}")
        if ignore:
            self._traced = Traced(
                unrestored=traces.find_unrestored(),
                beside=traces.find_beside(self._sizes(ignore[0])),
                compiled=traces.find_compiled(),
                cut=traces.find_cut(ignore[0]),
            )
        if found.first is None:
            return None
        self._first = found.first
        self.diagnosis.first_divergence = found.first.to_json()
        self.diagnosis.rows = [row.to_json() for row in traces.side_by_side(found.first, rows=6)]
        return location_at(str(root / found.first.file), found.first.line, found.first.function.rpartition(".")[2])
