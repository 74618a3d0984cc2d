"""One run of one pytest item in this process: setup and call, seeded, with its results taken on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import CallInfo

from pytest_repro import seeding
from pytest_repro.engines import item_run
from pytest_repro.engines.base import Outcome, PlannedExecution, RunOutcome, Take, raise_own
from pytest_repro.engines.condition import applied, verify_condition
from pytest_repro.engines.current import CurrentRun
from pytest_repro.engines.item_run import is_pass, reason_of
from pytest_repro.engines.time_limit import time_limit
from pytest_repro.tracing.watch_job import Watch

Reports = list[tuple[pytest.TestReport, CallInfo[None]]]


class OneRun:
    """Setup and call of one run. The caller tears down, since it knows what comes next.

    Parameters
    ----------
    item : pytest.Function
    current : CurrentRun
    planned : PlannedExecution
    axes : list of str
        Axes whose effect is read back at the end of the body.
    keeps_locals : bool
        Whether the test's local variables are compared where it returns nothing.
    take : callable
        Called with the outcome inside the call phase once the test function has ended well. May raise to fail the test.
    arguments : mapping, optional
        Arguments of the test beyond the condition's.
    timeout_s : float, optional
        For the test function.
    scratch : Path, optional
        Where an axis may make files. A temporary folder by default.
    watch : Watch, optional
        Have the user's code watched while the test function runs.
    before_body : callable, optional
        Called inside the call phase right before the test function.
    """

    def __init__(
        self,
        item: pytest.Function,
        current: CurrentRun,
        planned: PlannedExecution,
        axes: list[str],
        *,
        keeps_locals: bool,
        take: Take,
        arguments: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        scratch: Path | None = None,
        watch: Watch | None = None,
        before_body: Callable[[], None] | None = None,
    ) -> None:
        self.item = item
        self.current = current
        self.planned = planned
        self.outcome = RunOutcome(inputs=current.inputs, equivalences=current.equivalences)
        self._axes = axes
        self._arguments = {**planned.arguments, **(arguments or {})}
        self._timeout_s = timeout_s
        self._variables: dict[str, object] | None = {} if keeps_locals else None
        self.take = take
        self._scratch = scratch
        self._watch = watch
        self._before_body = before_body

    def execute(self, runtest: Callable[[Callable[[], None]], None] | None = None) -> Reports:
        """Run setup and call. `runtest` replaces the body of the call phase."""
        started = time.perf_counter()
        for name, value in self._arguments.items():
            if name in self.item.fixturenames:
                self.item.callspec.params[name] = value
        failed_before = self.item.session.testsfailed
        with (
            applied(self.planned.complete, self._axes, self._scratch),
            seeding.seeds_on_import(self.current.seed),
        ):
            with item_run.replaced_setup(self.item, self._setup):
                reports = [item_run.run_phase(self.item, "setup")]
            if reports[0][0].passed:
                if self.item.config.getoption("setupshow", False):
                    item_run.show_item(self.item)
                with item_run.replaced_runtest(self.item, runtest or self._runtest):
                    reports.append(item_run.run_phase(self.item, "call"))
        report, call = reports[-1]
        if len(reports) == 1:
            self._note(report, "error")
        elif not (call.excinfo is None and is_pass(report)):
            self._note(report, "failed")
        elif self.item.session.testsfailed > failed_before:
            # Subtests report their failures on the way, and the test's own report passes.
            self.outcome.outcome, self.outcome.reason = "failed", "a subtest failed and was reported by itself"
        self.outcome.seconds = time.perf_counter() - started
        return reports

    def _setup(self, original: Callable[[], None]) -> None:
        # Inside the phase: pytest-randomly seeds in its own setup hook, which comes first.
        seeding.seed_everything(seeding.derive_seed(self.current.seed, "fixtures"))
        original()

    def _runtest(self, original: Callable[[], None]) -> None:
        """Run the test function where pytest would, inside the call phase of every plugin."""
        __tracebackhide__ = True
        seeding.seed_everything(self.current.seed)
        with (
            item_run.caught_return(self.item, self._take_returned, self._variables),
            time_limit(self._timeout_s),
            self._watch.enter() if self._watch is not None else nullcontext(),
        ):
            if self._before_body is not None:
                self._before_body()
            original()
        if getattr(self.item, "_excinfo", None):
            return  # A TestCase keeps its failure aside, and pytest reports it.
        if self._variables is not None and not self.current.artifacts.leaves:
            self.current.take_locals(self._variables)
            self.outcome.took_locals = True
        self.current.close()
        self.outcome.artifacts = self.current.artifacts
        self.outcome.has_results = bool(self.current.artifacts.leaves) or self.outcome.took_locals
        self.outcome.effects = verify_condition(self.planned.complete, self._axes)
        self.take(self.outcome)

    def _take_returned(self, value: Any) -> None:
        __tracebackhide__ = True
        raise_own(lambda: self.current.take_returned(value))

    def _note(self, report: pytest.TestReport, otherwise: Outcome) -> None:
        is_skip = report.skipped and not hasattr(report, "wasxfail")
        self.outcome.outcome = "skipped" if is_skip else otherwise
        self.outcome.reason = reason_of(report)
