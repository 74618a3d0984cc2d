"""Find out why a test diverged: more runs of it, in processes of their own, within a budget.

Stands between the verdict and its message. Whatever goes wrong here is a note: the verdict is what the runs gave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pytest_repro.comparing import compare_artifacts
from pytest_repro.diagnosis.naming import name_finding
from pytest_repro.diagnosis.procedure import Observation, OutOfTimeError, Procedure, Search
from pytest_repro.errors import ChildError
from pytest_repro.model import JSON, Artifacts, Condition, Diagnosis, TestResult
from pytest_repro.running.child_session import ChildSessions, refuses_fork
from pytest_repro.running.forge_client import ForgeError
from pytest_repro.running.outer_timer import restart_timer, stop_timer
from pytest_repro.running.probes.looking import Look
from pytest_repro.session.planning import Plan, PlannedExecution
from pytest_repro.session.settings import TestSettings

if TYPE_CHECKING:
    from pytest_repro.session.recorder import Recorder

#: Pins that :class:`pytest_repro.running.probes.pins.Watch` takes; the others are conditions of their own.
_IN_PLACE = ("entropy", "time", "pid", "mtime", "order", "serial", "inline", "threads")
_SOURCES = "pin:sources"
#: Hidden condition or axis -> its value, by pin.
_OWN: dict[str, tuple[str, JSON]] = {
    "foreign": ("pin:foreign", True),
    "hash": ("pin:hash", True),
    "address": ("pin:address", True),
    "omp": ("pin:omp", True),
    "listing": ("file_order", "sorted"),
    "memory": ("memory", 0),
}
#: Pins without which another one shows nothing: an address pinned under another hash seed is still another order.
_NEEDS = {"address": ("hash",)}


class SessionProber:
    """Makes the runs of a diagnosis as children of the session.

    Parameters
    ----------
    item : pytest.Function
    plan : Plan
    settings : TestSettings
    recorder : Recorder
    condition : Condition
        What every run is given beyond the pins.
    budget_s : float
    """

    def __init__(
        self,
        item: pytest.Function,
        plan: Plan,
        settings: TestSettings,
        recorder: Recorder,
        condition: Condition,
        budget_s: float,
    ) -> None:
        self.item, self.plan, self.settings, self.recorder = item, plan, settings, recorder
        self.condition = condition
        self.deadline = time.monotonic() + budget_s
        self.runs = 0
        self._children: dict[str, ChildSessions] = {}
        self._has_learnt = False
        self._process = 0

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
        sees: bool = False,
        restores: Iterable[str] = (),
        condition: Condition | None = None,
    ) -> Observation:
        """Make a run; see :class:`pytest_repro.diagnosis.procedure.Prober`."""
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        look = Look(repeats, sees, list(restores))
        self.runs += 1
        self.recorder.live.show(f"{self.item.nodeid} diagnosed", self.runs, self.runs)
        use_spawn = spawn or bool(refuses_fork(self.item.config))
        pinned = self._pin(pins, condition or self.condition, fresh=spawn)
        try:
            return self._ask("spawn" if use_spawn else "fork", pinned, look)
        except ForgeError:
            if use_spawn:
                raise
            return self._ask("spawn", pinned, look)
        except ChildError as error:
            return Observation(Artifacts(), {}, str(error) or "it left no result")

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
        if fresh and "process" in self.plan.axis_names:
            # Each of them another process, as along the axis: the next hash seed too, unless that is pinned.
            self._process += 1
            values["process"] = self._process
        return Condition(tuple(values.items()))

    def _ask(self, engine: str, condition: Condition, look: Look) -> Observation:
        children = self._find_children(engine)
        answer, artifacts = children.run(self.runs, self.settings.seed, condition, look=look)
        if engine == "fork" and answer.imported and not self._has_learnt:
            # Once: what is imported late shifts everything, and a run after it is quicker.
            self._has_learnt = True
            children.learn(answer, at_once=True)
            answer, artifacts = children.run(self.runs, self.settings.seed, condition, look=look)
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
                find_paths=lambda: [str(self.item.path)],
                memory_limit_bytes=self.recorder.settings.memory_limit_bytes,
            )
        return self._children[engine]


def make_diagnosis(
    item: pytest.Function, plan: Plan, settings: TestSettings, recorder: Recorder
) -> Callable[[TestResult], None] | None:
    """Return what diagnoses the test should it diverge; None where that is not asked for or cannot be shown."""
    session = recorder.settings
    is_followed = any(item.config.getoption(name, False) for name in ("usepdb", "trace"))
    # Nobody reads the message of an expected failure, and the time is spent each time the suite is run.
    if not session.diagnose or is_followed or item.get_closest_marker("xfail") is not None:
        return None

    def diagnose(result: TestResult) -> None:
        started = time.monotonic()
        result.diagnosis = Diagnosis()
        stop_timer(item)
        try:
            _Diagnosis(item, plan, settings, recorder, result).run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide the failure that it is about
            result.diagnosis.complete = False
            result.notes.append(f"the diagnosis could not be finished: {type(error).__name__}: {str(error)[:300]}")
        finally:
            result.diagnosis.seconds = round(time.monotonic() - started, 3)
            recorder.live.clear()
            with suppress(Exception):
                restart_timer(item)

    return diagnose


class _Diagnosis:
    def __init__(
        self,
        item: pytest.Function,
        plan: Plan,
        settings: TestSettings,
        recorder: Recorder,
        result: TestResult,
    ) -> None:
        self.item, self.plan, self.settings, self.recorder = item, plan, settings, recorder
        self.result, self.in_process = result, plan.engine == "in_process"
        self.run_diverged, _ = next((run, c) for run, c in result.comparisons if c.divergences)
        self.planned: PlannedExecution = next(p for p in plan.runs if p.index == self.run_diverged.index)

    def run(self) -> None:
        prober = SessionProber(
            self.item,
            self.plan,
            self.settings,
            self.recorder,
            self.plan.runs[0].complete,
            self.recorder.settings.diagnose_budget_s,
        )
        try:
            blamed = self.result.blamed.get(self.run_diverged.index, [])
            axes = [axis for axis in blamed if axis != "process"]
            if not axes:
                self._search_sources(prober, is_process=blamed == ["process"])
        finally:
            prober.close()

    def _search_sources(self, prober: SessionProber, *, is_process: bool) -> None:
        same = [c for run, c in self.result.comparisons if is_process or not run.condition.values]
        differing = sum(bool(c.divergences) for c in same)
        procedure = Procedure(
            prober, differing, len(same), needs_spawn=is_process, may_leak=self.in_process and not is_process
        )
        self._take(procedure.run())

    def _take(self, search: Search) -> None:
        diagnosis = self.result.diagnosis
        assert diagnosis is not None
        diagnosis.ruled_out += search.ruled_out
        diagnosis.complete &= search.complete
        self.result.notes += search.notes
        for finding in search.findings:
            self.result.causes += name_finding(finding)
