"""The engine of a Hypothesis test: each example is repeated, and Hypothesis shrinks to the smallest that differs."""

from __future__ import annotations

import copy
import functools
import inspect
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_repro import seeding
from pytest_repro.engines.base import mark_own
from pytest_repro.engines.current import HOLDER_KEY, CurrentRun
from pytest_repro.engines.in_process import InProcessEngine, OneRun, Reports
from pytest_repro.engines.temporary_folders import find_base
from pytest_repro.engines.time_limit import time_limit
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts
from pytest_repro.session.judging import Judge
from pytest_repro.session.ledger import ExampleLedger
from pytest_repro.tracing.local_variables import watch_locals
from pytest_repro.undisturbed import unpatched

BeginRun = Callable[[int], CurrentRun]

#: The plugin's fixtures, which start again for every repeat of an example, as Hypothesis requires of function scope.
RENEWED_FIXTURES = frozenset({"repro", "seed_all", "deterministic"})


def is_given_test(item: pytest.Function) -> bool:
    """Return whether a test is driven by ``@given``, and not by a state machine, which has no test function."""
    return bool(getattr(item.obj, "is_hypothesis_test", False)) and hasattr(item.obj, "hypothesis")


class ExamplesEngine(InProcessEngine):
    """Makes one run of the item, in which every example is repeated, and gives their comparisons to the judge."""

    def __init__(self, judge: Judge, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._judge = judge

    def _execute(self, run: OneRun) -> Reports:
        settings = self._judge.settings
        repeats_silent = settings.is_marked or settings.takes_all

        def run_examples(original: Callable[[], None]) -> None:
            __tracebackhide__ = True
            ledger = ExampleLedger(self._judge.result, settings.policy, settings.runs, repeats_silent=repeats_silent)
            ledger.repeats_all = settings.is_marked
            self._judge.examples = ledger
            self.folders.keep_all()
            try:
                with (
                    repeated_examples(self.item, begin_repeat, ledger, settings.runs, settings.timeout_s),
                    watch_locals(inspect.unwrap(tested), take_locals) if settings.keeps_locals else nullcontext(),
                ):
                    original()
                    if ledger.unrepeated:
                        seeding.seed_everything(self._judge.settings.seed)
                        original()
            finally:
                # Also where Hypothesis could not repeat a divergence: it was seen once.
                run.outcome.has_results = repeats_silent or ledger.has_results
                run.outcome.took_locals = not ledger.has_results
                run.outcome.refused = ledger.refused
            run.take(run.outcome)

        tested = self.item.obj.hypothesis.inner_test

        def take_locals(variables: Mapping[str, object], value: object) -> None:
            run.take_locals_of(self.item.stash[HOLDER_KEY].run, variables, value)

        def begin_repeat(index: int) -> CurrentRun:
            unpatched(self.folders.begin_repeat)()
            current = self.begin(run.planned, index)
            self.item.stash[HOLDER_KEY].begin(current)
            seeding.seed_everything(current.seed)
            return current

        with adapted_settings(self.item, settings.runs):
            return run.execute(run_examples)


@contextmanager
def repeated_examples(
    item: pytest.Function, begin_run: BeginRun, ledger: ExampleLedger, runs: int, timeout_s: float | None = None
) -> Iterator[None]:
    """Run every example `runs` times, each for `timeout_s` at most, and hand its results to the ledger."""
    handle = item.obj.hypothesis
    original = handle.inner_test
    given_by_fixtures = frozenset(item.funcargs)

    @functools.wraps(original)
    def repeat(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        repeats: list[Artifacts] = []
        for index in range(1, runs + 1):
            run = begin_run(index)
            given = _give(kwargs, given_by_fixtures, ledger)
            with _skips_judged(ledger, index), time_limit(timeout_s):
                run.take_returned(original(*args, **given))
            if given is kwargs or not _goes_on(repeats, run, ledger, find_base(item.config)):
                return
        ledger.judge(repeats)

    @functools.wraps(original)
    async def repeat_async(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        repeats: list[Artifacts] = []
        for index in range(1, runs + 1):
            run = begin_run(index)
            given = _give(kwargs, given_by_fixtures, ledger)
            with _skips_judged(ledger, index), time_limit(timeout_s):
                run.take_returned(await original(*args, **given))
            if given is kwargs or not _goes_on(repeats, run, ledger, find_base(item.config)):
                return
        ledger.judge(repeats)

    handle.inner_test = repeat_async if inspect.iscoroutinefunction(original) else repeat
    try:
        yield
    finally:
        handle.inner_test = original


def _goes_on(repeats: list[Artifacts], run: CurrentRun, ledger: ExampleLedger, base: Path | None) -> bool:
    if not run.artifacts.leaves:
        run.settle_locals()
    run.close(base)
    repeats.append(run.artifacts)
    ledger.refused += run.refused
    return len(repeats) > 1 or ledger.needs_repeats(run.artifacts)


#: Endings of a repeat that pytest does not report as a failure, and their words.
_ENDINGS: dict[type[BaseException], str] = {
    pytest.skip.Exception: "skipped",
    unittest.SkipTest: "skipped",
    pytest.xfail.Exception: "xfailed",
    pytest.exit.Exception: "ended by pytest.exit()",
}


@contextmanager
def _skips_judged(ledger: ExampleLedger, index: int) -> Iterator[None]:
    """Judge a repeat that was skipped or rejected, which Hypothesis and pytest would not report."""
    __tracebackhide__ = True
    from hypothesis.errors import UnsatisfiedAssumption

    if index > 1:
        _forget_targets()
    try:
        yield
    except (UnsatisfiedAssumption, *_ENDINGS) as ending:
        if index == 1:
            raise
        found = (word for kind, word in _ENDINGS.items() if isinstance(ending, kind))
        ledger.judge_end(index, next(found, "rejected by assume()"))


def _forget_targets() -> None:
    """Let a repeat call ``hypothesis.target`` again, which accepts one observation of a name per example."""
    from hypothesis.control import _current_build_context

    context = _current_build_context.value
    if context is not None:
        context.data.target_observations.clear()


#: Type names of objects that draw while the test runs: a repeat would draw the next values, not the same.
_DRAWS = {
    "DataObject": "st.data()",
    "ArtificialRandom": "st.randoms()",
}


def _give(kwargs: dict[str, Any], given_by_fixtures: frozenset[str], ledger: ExampleLedger) -> dict[str, Any]:
    """Return copies of the drawn values, or the values themselves if an example in a scan cannot be repeated."""
    __tracebackhide__ = True
    try:
        return _own_copy(kwargs, given_by_fixtures)
    except UsageError:
        if ledger.repeats_all:
            raise
    ledger.unrepeated += 1
    ledger.examples += 1
    return kwargs


def _own_copy(kwargs: dict[str, Any], given_by_fixtures: frozenset[str]) -> dict[str, Any]:
    """Copy the drawn values: a test that changes its input must not hand the change to the next repeat."""
    own = {}
    for name, value in kwargs.items():
        drawing = _DRAWS.get(type(value).__name__) if type(value).__module__.startswith("hypothesis.") else None
        if drawing is not None:
            raise mark_own(
                UsageError(
                    f"{name}={drawing} draws while the test runs, so an example cannot be repeated; "
                    "draw the values, or a seed, as arguments of @given instead"
                )
            )
        own[name] = value if name in given_by_fixtures else _copy(name, value)
    return own


def _copy(name: str, value: Any) -> Any:
    __tracebackhide__ = True
    try:
        with _uncopyable_draws():
            return copy.deepcopy(value)
    except Exception as error:
        raise mark_own(
            UsageError(
                f"{name}, a {type(value).__qualname__} drawn by @given, cannot be copied for each repeat "
                f"({type(error).__name__}: {error}); draw the values that it is built from, and build it in the test"
            )
        ) from None


@contextmanager
def _uncopyable_draws() -> Iterator[None]:
    """Reject a copy of an object that draws, wherever it sits in a value."""
    from hypothesis.strategies import DataObject

    def reject(value: object, memo: object) -> None:
        raise TypeError("st.data() draws while the test runs")

    DataObject.__deepcopy__ = reject
    try:
        yield
    finally:
        del DataObject.__deepcopy__


@contextmanager
def adapted_settings(item: pytest.Function, runs: int) -> Iterator[None]:
    """Adapt the test's Hypothesis settings to examples that are run several times.

    The deadline is for one run of an example. The plugin's own function-scoped fixtures start again for each repeat.
    Hypothesis still rejects any other one.
    """
    from hypothesis import HealthCheck, settings

    function = getattr(item.obj, "__func__", item.obj)
    before = getattr(function, "_hypothesis_internal_use_settings", None)
    used = {
        name
        for name in inspect.signature(item.function).parameters
        if any(fixture.scope == "function" for fixture in item._fixtureinfo.name2fixturedefs.get(name, ()))
    }
    parent = before or settings.default
    allowed = set(parent.suppress_health_check)
    if used and used <= RENEWED_FIXTURES:
        allowed.add(HealthCheck.function_scoped_fixture)
    deadline = parent.deadline * runs if parent.deadline is not None else None
    function._hypothesis_internal_use_settings = settings(
        parent=parent, suppress_health_check=allowed, deadline=deadline
    )
    try:
        yield
    finally:
        if before is None:
            del function._hypothesis_internal_use_settings
        else:
            function._hypothesis_internal_use_settings = before
