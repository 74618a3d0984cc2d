"""The engine of a plain function, outside pytest: each run is a call in this process."""

from __future__ import annotations

import inspect
import os
import traceback
import unittest
from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro import seeding
from pytest_repro.axes import EngineName
from pytest_repro.engines.base import Bind, PlannedExecution, RunOutcome, Take
from pytest_repro.engines.condition import applied, verify_condition
from pytest_repro.engines.current import Repro
from pytest_repro.undisturbed import Undisturbed, read_cpu_clock, read_stopwatch, remember


class FunctionEngine:
    """Calls a function, seeded alike in each run, with `seed`, `repro` and the axes that are parameters of it."""

    name: EngineName = "in_process"
    can_probe = False
    adds_control = False
    is_provisional = False

    def __init__(self, function: Callable[..., Any], *, axes: list[str], bind: Bind) -> None:
        self._function = function
        self._axes = axes
        self._bind = bind

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        """Call the function. What it raises goes to the caller, except for a skip or an exit in a later run."""
        __tracebackhide__ = True
        assert take is not None
        current = planned.begin()
        parameters = inspect.signature(self._function).parameters
        given: dict[str, Any] = {name: value for name, value in planned.arguments.items() if name in parameters}
        given |= self._bind(current)
        if "seed" in parameters:
            given.setdefault("seed", current.seed)
        if "repro" in parameters:
            given["repro"] = Repro(current)
        started, cpu_before_s = read_stopwatch(), read_cpu_clock()
        remember()
        try:
            with applied(planned.complete, self._axes), seeding.seeds_on_import(current.seed):
                seeding.seed_everything(current.seed)
                current.take_returned(self._function(**given))
                with Undisturbed():
                    effects = verify_condition(planned.complete, self._axes)
        except _quiet_endings() as ending:
            if planned.index == 1:
                raise
            # The caller would take it for its own skip or exit, although run 1 returned.
            return _describe_ending(ending)
        current.close()
        outcome = RunOutcome(
            artifacts=current.artifacts,
            refused=current.refused,
            has_results=True,
            effects=effects,
            equivalences=current.equivalences,
            seconds=read_stopwatch() - started,
            cpu_s=read_cpu_clock() - cpu_before_s,
        )
        take(outcome)
        return outcome

    def finish(self, *, is_last: bool) -> bool:
        """Return True: a call leaves nothing to clear up."""
        return True


def _quiet_endings() -> tuple[type[BaseException], ...]:
    """Return the exceptions that a caller does not report as a failure: skips, expected failures, exits."""
    pytest_endings = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)
    return (*pytest_endings, unittest.SkipTest, SystemExit)


def _describe_ending(ending: BaseException) -> RunOutcome:
    is_skip = isinstance(ending, (pytest.skip.Exception, unittest.SkipTest))
    is_xfail = isinstance(ending, pytest.xfail.Exception)
    reason = str(ending) if is_skip or is_xfail else f"{type(ending).__name__}: {ending}"
    place = traceback.extract_tb(ending.__traceback__)
    where = next(
        (f"{entry.filename}:{entry.lineno}" for entry in reversed(place) if not _is_pytest(entry.filename)), ""
    )
    return RunOutcome("skipped" if is_skip else "failed", reason, is_xfail=is_xfail, where=where)


def _is_pytest(filename: str) -> bool:
    return f"{os.sep}_pytest{os.sep}" in filename
