"""Repeat each example of a Hypothesis test, so that Hypothesis shrinks to the smallest irreproducible input."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_repro.comparing import compare_artifacts
from pytest_repro.errors import DivergenceError, UsageError
from pytest_repro.model import Artifacts, Comparison, RunResult, TestResult, TolerancePolicy, Verdict
from pytest_repro.reporting.failure import describe_failure
from pytest_repro.running.current import CurrentRun

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
    """

    def __init__(self, result: TestResult, policy: TolerancePolicy, runs: int) -> None:
        self.result = result
        self.policy = policy
        self.examples = 0
        self.compared = 0
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
        verdicts = {comparison.verdict for _, comparison in comparisons}
        self.compared += bool(verdicts - {Verdict.INCONCLUSIVE})
        if Verdict.DIVERGED in verdicts:
            self.has_diverged = True
            self._keep(comparisons)
            self.result.verdict = Verdict.DIVERGED
            raise _own(DivergenceError(describe_failure(self.result)))
        if not self.has_diverged and Verdict.WITHIN_TOLERANCE in verdicts:
            self._keep(comparisons)

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
        repeats = []
        for index in range(1, runs + 1):
            run = begin_run(index)
            run.take_returned(original(*args, **_own_copy(kwargs, given_by_fixtures)))
            run.close()
            repeats.append(run.artifacts)
        ledger.judge(repeats)

    @functools.wraps(original)
    async def repeat_async(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        repeats = []
        for index in range(1, runs + 1):
            run = begin_run(index)
            run.take_returned(await original(*args, **_own_copy(kwargs, given_by_fixtures)))
            run.close()
            repeats.append(run.artifacts)
        ledger.judge(repeats)

    handle.inner_test = repeat_async if inspect.iscoroutinefunction(original) else repeat
    try:
        yield
    finally:
        handle.inner_test = original


def _own_copy(kwargs: dict[str, Any], given_by_fixtures: frozenset[str]) -> dict[str, Any]:
    """Copy what Hypothesis drew: a test that changes its input must not hand the change to the next repeat."""
    own = {}
    for name, value in kwargs.items():
        if type(value).__module__.startswith("hypothesis.") and type(value).__name__ == "DataObject":
            raise _own(
                UsageError(
                    f"{name}=st.data() draws while the test runs, so an example cannot be repeated; "
                    "draw the values as arguments of @given instead"
                )
            )
        own[name] = value if name in given_by_fixtures else copy.deepcopy(value)
    return own


@contextmanager
def renewed_fixtures_allowed(item: pytest.Function) -> Iterator[None]:
    """Allow our own function-scoped fixtures, which do start anew; any other one stays Hypothesis' to refuse."""
    function = getattr(item.obj, "__func__", item.obj)
    before = getattr(function, "_hypothesis_internal_use_settings", None)
    used = {
        name
        for name in inspect.signature(item.function).parameters
        if any(fixture.scope == "function" for fixture in item._fixtureinfo.name2fixturedefs.get(name, ()))
    }
    if not used or not used <= RENEWED_FIXTURES:
        yield
        return
    from hypothesis import HealthCheck, settings

    parent = before or settings.default
    allowed = {*parent.suppress_health_check, HealthCheck.function_scoped_fixture}
    function._hypothesis_internal_use_settings = settings(parent=parent, suppress_health_check=allowed)
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
