"""Isolate the axes of a diverging condition: find the smallest set that still differs. Makes no runs of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pytest_repro.model import Condition

Status = Literal["isolated", "repeat", "not_isolated"]

#: So many repeats of what seems to make a difference, and of its control, confirm it.
CONFIRMATIONS = 3
#: Reasons why no axis is to blame.
BASELINE_DIFFERS = "a repeat under the baseline's condition differs as well"
BY_CHANCE = "the same condition differs in one run and not in another, so the result changes by chance"


def count_fresh_runs(values: int, results: int) -> int:
    """Return how many fresh interpreters must confirm that an axis makes the difference.

    A run with each value of the axis was made by an interpreter of its own. The others are made in turn with run 1's
    value and with another one whose run differed, and each must give what the first run with its value gave.

    Parameters
    ----------
    values : int
        Number of the axis' values.
    results : int
        Number of different results among their runs, 2 at least.

    Notes
    -----
    What changes from interpreter to interpreter for another reason takes each result with some probability. Whatever
    these are, it is blamed on the axis in less than 1 % of tests. Two results are as likely to come in this order as a
    coin is to fall so. If each value has a result of its own, a repeat of it by chance is unlikely.
    """
    if results == 2:
        return 6 if values == 2 else 7
    if results == values:
        return 3 if values == 3 else 2
    return 4 if values == 4 else 7


@dataclass(frozen=True, slots=True)
class Isolation:
    """The result of isolating the axes of a condition.

    Attributes
    ----------
    status : {"isolated", "repeat", "not_isolated"}
        ``repeat``: a repeat of the baseline's condition differs already, so no axis is to blame.
    axes : tuple of str
        The smallest set found that differs. Empty unless isolated.
    alone : tuple of str
        Every axis that differs when it alone is varied.
    cleared : tuple of str
        Every axis that was varied alone without a difference.
    probes : int
        Number of runs.
    reason : str
        A sentence, where nothing was isolated.
    """

    status: Status
    axes: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    probes: int = 0
    reason: str = ""


class _OutOfProbesError(Exception):
    """The bound on probes is reached."""


class _Prober:
    """Calls the predicate, remembers every answer, and counts the calls."""

    def __init__(self, differs: Callable[[Condition], bool], condition: Condition, max_probes: int) -> None:
        self.differs, self.values, self.max_probes = differs, condition.values, max_probes
        self.known: dict[frozenset[str], bool] = {}
        self.probes = 0

    def ask(self, axes: tuple[str, ...], *, again: bool = False) -> bool:
        """Return whether a run differs with only these axes varied. `again` repeats it, to catch a flaky answer."""
        key = frozenset(axes)
        if again or key not in self.known:
            if self.probes >= self.max_probes:
                raise _OutOfProbesError
            self.probes += 1
            self.known[key] = bool(self.differs(Condition(tuple((a, v) for a, v in self.values if a in key))))
        return self.known[key]


def isolate(
    differs: Callable[[Condition], bool],
    condition: Condition,
    *,
    max_probes: int = 64,
    confirmations: int = CONFIRMATIONS,
) -> Isolation:
    """Find the smallest set of axes that still differs.

    First the empty condition (a repeat of the baseline: if that differs, no axis is to blame), then each axis alone,
    then delta debugging over sets. The set found is repeated together with its control, and counts only if every answer
    is the same: a result that also changes by chance must not be blamed on an axis.

    Parameters
    ----------
    differs : callable (Condition) -> bool
        Runs the test under the baseline's condition overlaid with this one, and returns whether it diverges.
    condition : Condition
        The combined condition that diverged.
    max_probes : int
        Bound on the calls of `differs`.
    confirmations : int
        Number of repeats of the set found and its control.

    Returns
    -------
    Isolation
        Names an axis only if it differed `confirmations` + 1 times and the control never did in as many runs. A result
        that differs with probability p for any reason is blamed on a given axis with at most (p (1 - p))**4 <= 0.4 %.

    Notes
    -----
    ddmin of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002). Where no axis differs
    alone, the set is minimal: it differs only with all of its axes.
    """
    names = tuple(name for name, _ in condition)
    prober = _Prober(differs, condition, max_probes)
    alone: list[str] = []
    cleared: list[str] = []
    try:
        if prober.ask(()):
            return Isolation("repeat", probes=prober.probes, reason=BASELINE_DIFFERS)
        for name in names:
            (alone if prober.ask((name,)) else cleared).append(name)
        found = (alone[0],) if alone else _minimise(prober, names)
        return _confirm(prober, found, alone, cleared, confirmations)
    except _OutOfProbesError:
        reason = f"no answer within {max_probes} runs"
        return Isolation("not_isolated", cleared=tuple(cleared), probes=prober.probes, reason=reason)


def _minimise(prober: _Prober, axes: tuple[str, ...]) -> tuple[str, ...]:
    """Reduce a set that differs until it differs only with all of its axes (ddmin)."""
    parts = 2
    while len(axes) > 1:
        size = -(-len(axes) // parts)
        chunks = [axes[i : i + size] for i in range(0, len(axes), size)]
        rests = [tuple(a for a in axes if a not in chunk) for chunk in chunks]
        smaller = next((c for c in chunks if prober.ask(c)), None)
        if smaller is not None:
            axes, parts = smaller, 2
        elif (rest := next((r for r in rests if r and len(chunks) > 2 and prober.ask(r)), None)) is not None:
            axes, parts = rest, max(parts - 1, 2)
        elif parts >= len(axes):
            break
        else:
            parts = min(2 * parts, len(axes))
    return axes


def _confirm(prober: _Prober, found: tuple[str, ...], alone: list[str], cleared: list[str], times: int) -> Isolation:
    """Repeat the control, the set found and every axis that differed alone. One changed answer refutes all."""
    if not found or not prober.ask(found):
        reason = "the condition that diverged does not differ when it is run again"
        return Isolation("not_isolated", cleared=tuple(cleared), probes=prober.probes, reason=reason)
    suspects: list[tuple[str, ...]] = [(name,) for name in alone] or [found]
    for _ in range(times):
        if prober.ask((), again=True) or not all(prober.ask(suspect, again=True) for suspect in suspects):
            return Isolation("not_isolated", cleared=tuple(cleared), probes=prober.probes, reason=BY_CHANCE)
    return Isolation("isolated", found, tuple(alone), tuple(cleared), prober.probes)
