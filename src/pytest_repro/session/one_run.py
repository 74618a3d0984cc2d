"""One run of one item in this process: setup and call, seeded, with what the test gave taken on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest
from _pytest.runner import CallInfo

from pytest_repro import seeding
from pytest_repro.axes import AxisContext, Effect, apply_condition, verify_condition
from pytest_repro.engines import item_run
from pytest_repro.engines.current import CurrentRun
from pytest_repro.engines.time_limit import time_limit
from pytest_repro.errors import DivergenceError, InconclusiveError, ReproError
from pytest_repro.model import RunResult
from pytest_repro.session.equivalence_axes import assertions_of, bind_assertions
from pytest_repro.session.planning import PlannedExecution
from pytest_repro.tracing.watch_job import Watch

Value = TypeVar("Value")
Reports = list[tuple[pytest.TestReport, CallInfo[None]]]


class OneRun:
    """Setup and call of one run; teardown is the caller's, who knows what comes next.

    Parameters
    ----------
    item : pytest.Function
    current : CurrentRun
    planned : PlannedExecution
    axes : list of str
        Axes whose effect is read back at the end of the body.
    keeps_locals : bool
        Whether the test's local variables stand in for what it does not return.
    timeout_s : float, optional
        For the test function.
    after_body : callable
        Called inside the call phase once the test function has ended well, with this run; may raise to fail it.
    scratch : Path, optional
        Where an axis may make files; a temporary folder by default.
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
        timeout_s: float | None = None,
        after_body: Callable[[OneRun], None],
        scratch: Path | None = None,
        watch: Watch | None = None,
        before_body: Callable[[], None] | None = None,
    ) -> None:
        self.item = item
        self.current = current
        self.planned = planned
        self.effects: tuple[Effect, ...] = ()
        self._axes = axes
        self._timeout_s = timeout_s
        self.result = RunResult(
            current.index, current.condition, inputs=current.inputs, equivalences=current.equivalences
        )
        self.took_locals = False
        self._variables: dict[str, object] | None = {} if keeps_locals else None
        self._after_body = after_body
        self._scratch = scratch
        self._watch = watch
        self._before_body = before_body

    def execute(self, runtest: Callable[[Callable[[], None]], None] | None = None) -> Reports:
        """Run setup and call; `runtest` replaces what happens in the call phase."""
        self._set_arguments()
        failed_before = self.item.session.testsfailed
        with (
            applied(self.planned, self._axes, self._scratch),
            seeding.seeds_on_import(self.current.seed),
        ):
            with item_run.replaced_setup(self.item, self._setup):
                reports = [item_run.run_phase(self.item, "setup")]
            if not reports[0][0].passed:
                self._note(reports[0][0], "error")
                return reports
            if self.item.config.getoption("setupshow", False):
                item_run.show_item(self.item)
            with item_run.replaced_runtest(self.item, runtest or self._runtest):
                reports.append(item_run.run_phase(self.item, "call"))
        report, call = reports[1]
        if not (call.excinfo is None and is_pass(report)):
            self._note(report, "failed")
        elif self.item.session.testsfailed > failed_before:
            # Subtests report their failures on the way; the test's own report passes.
            self.result.outcome, self.result.reason = "failed", "a subtest failed; it was reported by itself"
        return reports

    def _setup(self, original: Callable[[], None]) -> None:
        # Here, and not before the phase: pytest-randomly seeds in its own setup hook, which comes first.
        seeding.seed_everything(seeding.derive_seed(self.current.seed, "fixtures"))
        original()

    def _runtest(self, original: Callable[[], None]) -> None:
        """Stand where pytest runs the test, inside the call phase of every plugin."""
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
            return  # A TestCase keeps its failure aside; pytest reports it.
        if self._variables is not None and not self.current.artifacts.leaves:
            self.current.take_locals(self._variables)
            self.took_locals = True
        self.current.close()
        self.effects = verify_condition(self.planned.complete, self._axes)
        raise_own(lambda: self._after_body(self))

    def _set_arguments(self) -> None:
        """Give the test the arguments of this run in place of those it was collected with."""
        for name, value in self.planned.arguments.items():
            if name in self.item.fixturenames:
                self.item.callspec.params[name] = value
        for name, bound in bind_assertions(assertions_of(self.item), self.current).items():
            self.item.callspec.params[name] = bound

    def _take_returned(self, value: Any) -> None:
        __tracebackhide__ = True
        raise_own(lambda: self.current.take_returned(value))

    def _note(self, report: pytest.TestReport, otherwise: str) -> None:
        is_skip = report.skipped and not hasattr(report, "wasxfail")
        self.result.outcome = "skipped" if is_skip else otherwise  # type: ignore[assignment]
        self.result.reason = reason_of(report)


@contextmanager
def applied(planned: PlannedExecution, axes: list[str], scratch: Path | None = None) -> Iterator[None]:
    """Vary what a run varies inside this process; a test without axes pays nothing."""
    if not axes:
        yield
        return
    with (
        tempfile.TemporaryDirectory("", "pytest-repro-", scratch, ignore_cleanup_errors=True) as folder,
        apply_condition(planned.complete, AxisContext(Path(folder))),
    ):
        yield


def raise_own(step: Callable[[], Value]) -> Value:
    """Mark what the plugin itself raises: it is shown as a message, not as a traceback into the plugin."""
    __tracebackhide__ = True
    try:
        return step()
    except (ReproError, DivergenceError, InconclusiveError) as error:
        error.raised_by_plugin = True  # type: ignore[union-attr]
        raise


def reason_of(report: pytest.TestReport) -> str:
    """Return in a line or two why a report is no pass."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else longrepr)[:2000]


def is_pass(report: pytest.TestReport) -> bool:
    """Tell whether a phase passed; a strict xfail that passes, which pytest fails, is a body that passed."""
    return report.passed or (report.failed and str(report.longrepr).startswith("[XPASS(strict)]"))
