"""Repeat each example of a Hypothesis test, so that Hypothesis shrinks to the smallest irreproducible input."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from pytest_repro.comparing import compare_artifacts
from pytest_repro.engines.current import CurrentRun
from pytest_repro.errors import DivergenceError, UsageError
from pytest_repro.model import Artifacts, Comparison, RunResult, TestResult, TolerancePolicy, Verdict
from pytest_repro.reporting.failure import describe_failure
from pytest_repro.session.outcomes import compare_outcomes

BeginRun = Callable[[int], CurrentRun]

#: Fixtures of ours that start anew for every repeat of an example, as Hypothesis asks of function scope.
RENEWED_FIXTURES = frozenset({"repro", "seed_all", "deterministic"})


def is_given_test(item: pytest.Function) -> bool:
    """Tell whether a test is driven by ``@given``."""
    return bool(getattr(item.obj, "is_hypothesis_test", False))


class ExampleLedger:
    """What was compared over all examples of one test.

    Parameters
    ----------
    result : TestResult
        Gets a run for each repeat, and the comparisons of the example that was judged last.
    repeats_silent : bool
        Whether an example that gave nothing in its first run is run again.
    """

    def __init__(self, result: TestResult, policy: TolerancePolicy, runs: int, *, repeats_silent: bool = True) -> None:
        self.result = result
        self.policy = policy
        self.repeats_silent = repeats_silent
        self.examples = 0
        self.compared = 0
        self.largest = Comparison()
        self.has_diverged = False
        self.gave_something = False
        result.runs += [RunResult(index) for index in range(2, runs + 1)]

    def judge(self, repeats: list[Artifacts]) -> None:
        """Compare the repeats of one example.

        Raises
        ------
        DivergenceError
            For Hypothesis to shrink.
        """
        __tracebackhide__ = True
        self.examples += 1
        self.gave_something = self.gave_something or any(map(len, repeats))
        comparisons = [
            (run, compare_artifacts(artifacts, repeats[0], self.policy))
            for run, artifacts in zip(self.result.runs[1:], repeats[1:], strict=True)
        ]
        self.largest = max([self.largest, *(c for _, c in comparisons)], key=lambda c: (c.elements, c.artifacts))
        verdicts = {comparison.verdict for _, comparison in comparisons}
        self.compared += bool(verdicts - {Verdict.INCONCLUSIVE})
        if Verdict.DIVERGED in verdicts:
            self._diverge(comparisons)
        if not self.has_diverged and Verdict.WITHIN_TOLERANCE in verdicts:
            self._keep(comparisons)

    def needs_repeats(self, first: Artifacts) -> bool:
        """Tell whether an example is to be run again after its first run."""
        if self.repeats_silent or first.leaves:
            return True
        self.examples += 1
        return False

    def judge_end(self, run: int, outcome: str) -> None:
        """Take a repeat that did not run to its end where the first run did.

        Raises
        ------
        DivergenceError
        """
        __tracebackhide__ = True
        self.examples += 1
        self.gave_something = True
        self._diverge([(self.result.runs[run - 1], compare_outcomes(outcome))])

    def _diverge(self, comparisons: list[tuple[RunResult, Comparison]]) -> NoReturn:
        __tracebackhide__ = True
        self.has_diverged = True
        self._keep(comparisons)
        self.result.verdict = Verdict.DIVERGED
        raise _own(DivergenceError(describe_failure(self.result)))

    def _keep(self, comparisons: list[tuple[RunResult, Comparison]]) -> None:
        self.result.comparisons[:] = comparisons


@contextmanager
def repeated_examples(item: pytest.Function, begin_run: BeginRun, ledger: ExampleLedger, runs: int) -> Iterator[None]:
    """Run every example `runs` times and hand what it gave to the ledger."""
    handle = item.obj.hypothesis
    original = handle.inner_test
    given_by_fixtures = frozenset(item.funcargs)

    @functools.wraps(original)
    def repeat(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        repeats: list[Artifacts] = []
        for index in range(1, runs + 1):
            run = begin_run(index)
            with _ends_told(ledger, index):
                run.take_returned(original(*args, **_own_copy(kwargs, given_by_fixtures)))
            if not _goes_on(repeats, run, ledger):
                return
        ledger.judge(repeats)

    @functools.wraps(original)
    async def repeat_async(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        repeats: list[Artifacts] = []
        for index in range(1, runs + 1):
            run = begin_run(index)
            with _ends_told(ledger, index):
                run.take_returned(await original(*args, **_own_copy(kwargs, given_by_fixtures)))
            if not _goes_on(repeats, run, ledger):
                return
        ledger.judge(repeats)

    handle.inner_test = repeat_async if inspect.iscoroutinefunction(original) else repeat
    try:
        yield
    finally:
        handle.inner_test = original


def _goes_on(repeats: list[Artifacts], run: CurrentRun, ledger: ExampleLedger) -> bool:
    run.close()
    repeats.append(run.artifacts)
    return len(repeats) > 1 or ledger.needs_repeats(run.artifacts)


@contextmanager
def _ends_told(ledger: ExampleLedger, index: int) -> Iterator[None]:
    """Tell a repeat that Hypothesis or pytest would pass over in silence, though the first run did not end so."""
    __tracebackhide__ = True
    from hypothesis.errors import UnsatisfiedAssumption

    if index > 1:
        _forget_targets()
    try:
        yield
    except (UnsatisfiedAssumption, pytest.skip.Exception) as ending:
        if index == 1:
            raise
        ledger.judge_end(index, "skipped" if isinstance(ending, pytest.skip.Exception) else "rejected by assume()")


def _forget_targets() -> None:
    """Let a repeat call ``hypothesis.target`` again, which takes one observation of a name in an example."""
    from hypothesis.control import _current_build_context

    context = _current_build_context.value
    if context is not None:
        context.data.target_observations.clear()


#: What draws while the test runs: a repeat would draw the next values, not the same.
_DRAWS = {
    "DataObject": "st.data()",
    "ArtificialRandom": "st.randoms()",
}


def _own_copy(kwargs: dict[str, Any], given_by_fixtures: frozenset[str]) -> dict[str, Any]:
    """Copy what Hypothesis drew: a test that changes its input must not hand the change to the next repeat."""
    own = {}
    for name, value in kwargs.items():
        drawing = _DRAWS.get(type(value).__name__) if type(value).__module__.startswith("hypothesis.") else None
        if drawing is not None:
            raise _own(
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
        return copy.deepcopy(value)
    except Exception as error:
        raise _own(
            UsageError(
                f"{name}, a {type(value).__qualname__} drawn by @given, cannot be copied for each repeat "
                f"({type(error).__name__}: {error}); draw what it is made from, and make it in the test"
            )
        ) from None


@contextmanager
def adapted_settings(item: pytest.Function, runs: int) -> Iterator[None]:
    """Fit the test's Hypothesis settings to examples that are run several times.

    The deadline is for one run of an example. Our own function-scoped fixtures do start anew for each repeat; any
    other one stays Hypothesis' to refuse.
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


def _own(error: Any) -> Any:
    error.raised_by_plugin = True
    return error
