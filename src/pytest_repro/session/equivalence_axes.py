"""Equivalence assertions as axes: ``across={"resume": assert_resume_equivalent}`` gives the test an argument.

The argument is the assertion, bound to the run: called, it makes its trials, and what it finds becomes a column of the
matrix, instead of ending the test. What the test never calls is not varied, and no pass (docs/adr/0018).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.axes import is_built_in
from pytest_repro.engines.current import CurrentRun
from pytest_repro.errors import DivergenceError, InconclusiveError, UnstableError, UsageError
from pytest_repro.model import Cause, EquivalenceFinding, TestResult, Verdict
from pytest_repro.session.findings import NOT_VARIED, RANK, UNSTABLE

if TYPE_CHECKING:
    from pytest_repro.equivalences import Equivalence

Assertion = Callable[..., "Equivalence"]


def split_across(across: object) -> tuple[object, dict[str, Assertion]]:
    """Split a marker's ``across=`` into the axes with values, and the arguments that are equivalence assertions.

    Raises
    ------
    UsageError
        If a callable is none of the assertions, or its name is that of a built-in axis.
    """
    if not isinstance(across, Mapping):
        return across, {}
    assertions = {name: value for name, value in across.items() if callable(value)}
    if not assertions:
        return across, {}
    for name, assertion in assertions.items():
        _check_assertion(name, assertion)
    return {name: value for name, value in across.items() if name not in assertions} or None, assertions


def check_assertions(assertions: Collection[str], arguments: Collection[str], where: str) -> None:
    """Raise UsageError unless the test takes an argument for each assertion."""
    for name in assertions:
        if name not in arguments:
            raise UsageError(
                f"{where}: across= gives the assertion {name!r}, which the test does not take: add it to the test's "
                "arguments, and call it there"
            )


def _check_assertion(name: Any, assertion: Assertion) -> None:
    from pytest_repro import equivalences

    known = [getattr(equivalences, each) for each in equivalences.__all__ if each.startswith("assert_")]
    function = assertion.func if isinstance(assertion, functools.partial) else assertion
    if function not in known:
        raise UsageError(
            f"across={{{name!r}: {getattr(function, '__name__', function)!r}}}: give a list of values, or one of "
            f"{', '.join(each.__name__ for each in known)}, with functools.partial where it is to take more"
        )
    if not isinstance(name, str) or not name.isidentifier() or is_built_in(name) or name in ("all", "repro"):
        raise UsageError(
            f"across={{{name!r}: {function.__name__}}}: {name!r} cannot name an argument of the test here, since it is "
            "no name or has a meaning of its own; call it, for example, 'thread_count', 'resume' or 'batch'"
        )


def assertions_of(item: pytest.Item) -> dict[str, Assertion]:
    """Return the assertions that the closest marker with ``across=`` gives a test, whatever the command line varies."""
    for mark in item.iter_markers("reproducible"):
        if "across" in mark.kwargs:
            return split_across(mark.kwargs["across"])[1]
    return {}


class BoundAssertion:
    """An equivalence assertion as a test gets it: it notes what it finds for the run's judgement.

    Parameters
    ----------
    axis : str
        The argument's name.
    assertion : callable
    run : CurrentRun
    """

    def __init__(self, axis: str, assertion: Assertion, run: CurrentRun) -> None:
        self.axis = axis
        self._assertion = assertion
        self._run = run
        self._calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Equivalence | None:
        """Make the assertion's trials with the run's seed, unless another is given.

        Returns
        -------
        Equivalence
            False where it diverged; None where it is inconclusive. The test goes on either way, and fails at its end.
        """
        __tracebackhide__ = True
        self._calls += 1
        given = self._assertion.keywords if isinstance(self._assertion, functools.partial) else {}
        if "seed" in inspect.signature(self._assertion).parameters and "seed" not in given:
            kwargs.setdefault("seed", self._run.seed)
        try:
            shown = self._assertion(*args, **kwargs)
        except DivergenceError as error:
            if error.equivalence is None:
                raise  # the user's own, raised by a function under test
            shown = error.equivalence
            self._note(shown, str(error))
        except InconclusiveError as error:
            cell = UNSTABLE if isinstance(error, UnstableError) else NOT_VARIED
            self._run.equivalences.append(
                EquivalenceFinding(self.axis, self._name, Verdict.INCONCLUSIVE, cell, message=str(error))
            )
            return None
        else:
            self._note(shown, "")
        # So that repeats of the test are compared by what the plain way gave.
        self._run.take_artifacts(self.axis if self._calls == 1 else f"{self.axis}/call {self._calls}", shown.artifacts)
        return shown

    @property
    def _name(self) -> str:
        function = self._assertion.func if isinstance(self._assertion, functools.partial) else self._assertion
        return str(function.__name__)

    def _note(self, shown: Equivalence, message: str) -> None:
        explanation = shown.explanation
        codes, _, what = explanation.cause.partition(": ")
        evidence = "; ".join([what, *explanation.evidence])
        self._run.equivalences.append(
            EquivalenceFinding(
                self.axis,
                self._name,
                shown.verdict,
                shown.verdict.value,
                message,
                explanation.first,
                tuple(Cause(code, self.axis, evidence, explanation.fix) for code in codes.split(", ") if code),
                tuple(zip(shown.trials, shown.comparisons, strict=True)),
                shown.notes,
            )
        )


def bind_assertions(assertions: Mapping[str, Assertion], run: CurrentRun) -> dict[str, BoundAssertion]:
    """Return what a run's test is called with."""
    return {name: BoundAssertion(name, assertion, run) for name, assertion in assertions.items()}


def judge_assertions(names: Collection[str], result: TestResult) -> tuple[Verdict | None, str]:
    """Fill in the matrix' cells of the assertions, and return what they make of the verdict; None if nothing.

    Returns
    -------
    Verdict or None
    str
        The reason, where it is inconclusive.
    """
    found = [finding for run in result.runs for finding in run.equivalences]
    for name in names:
        cells = [finding.cell for finding in found if finding.axis == name]
        result.matrix[name] = max(cells, key=RANK.index, default=NOT_VARIED)
    for note in dict.fromkeys(f"{finding.axis}: {note}" for finding in found for note in finding.notes):
        if note not in result.notes:
            result.notes.append(note)
    verdicts = [finding.verdict for finding in found]
    if Verdict.DIVERGED in verdicts:
        return Verdict.DIVERGED, ""
    uncalled = [name for name in names if not any(finding.axis == name for finding in found)]
    if uncalled:
        return Verdict.INCONCLUSIVE, (
            f"the test never called its argument {uncalled[0]!r}, so nothing was varied along it: call it as the "
            "assertion that it is"
        )
    unclear = next((finding for finding in found if finding.verdict is Verdict.INCONCLUSIVE), None)
    if unclear is not None:
        return Verdict.INCONCLUSIVE, unclear.message
    return (Verdict.WITHIN_TOLERANCE if Verdict.WITHIN_TOLERANCE in verdicts else None), ""


def causes_of(result: TestResult) -> list[Cause]:
    """Return the causes that the assertions found, each once."""
    return list(dict.fromkeys(cause for run in result.runs for f in run.equivalences for cause in f.causes))
