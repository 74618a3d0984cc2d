"""The engine of a plain function, outside pytest: each run is a call in this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pytest_repro import seeding
from pytest_repro.axes import EngineName
from pytest_repro.engines.base import Bind, PlannedExecution, RunOutcome, Take
from pytest_repro.engines.condition import applied, verify_condition
from pytest_repro.engines.current import Repro
from pytest_repro.undisturbed import Undisturbed, read_stopwatch, remember


class FunctionEngine:
    """Calls a function, seeded alike in each run, with `seed`, `repro` and the axes that are parameters of it."""

    name: EngineName = "in_process"
    can_probe = False
    adds_control = False

    def __init__(self, function: Callable[..., Any], *, axes: list[str], bind: Bind) -> None:
        self._function = function
        self._axes = axes
        self._bind = bind

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        """Call the function. What it raises goes to the caller."""
        assert take is not None
        current = planned.begin()
        parameters = inspect.signature(self._function).parameters
        given: dict[str, Any] = {name: value for name, value in planned.arguments.items() if name in parameters}
        given |= self._bind(current)
        if "seed" in parameters:
            given.setdefault("seed", current.seed)
        if "repro" in parameters:
            given["repro"] = Repro(current)
        started = read_stopwatch()
        remember()
        with applied(planned.complete, self._axes), seeding.seeds_on_import(current.seed):
            seeding.seed_everything(current.seed)
            current.take_returned(self._function(**given))
            with Undisturbed():
                effects = verify_condition(planned.complete, self._axes)
        current.close()
        outcome = RunOutcome(
            artifacts=current.artifacts,
            has_results=True,
            effects=effects,
            equivalences=current.equivalences,
            seconds=read_stopwatch() - started,
        )
        take(outcome)
        return outcome

    def finish(self, *, is_last: bool) -> bool:
        """Return True: a call leaves nothing to clear up."""
        return True
