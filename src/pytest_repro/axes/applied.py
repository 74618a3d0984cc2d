"""A whole condition at once: its environment, its patches, its read-back, and whether it really varied."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from pytest_repro.axes.base import AxisContext, Effect
from pytest_repro.axes.table import find_axis, is_built_in
from pytest_repro.model import JSON, Condition

#: Variables that hold a list: two axes may add to one, and what the user has set stays in force before it.
_JOINED = {"GLIBC_TUNABLES": ":"}


def environment_of(condition: Condition, base: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Return the variables that a fresh interpreter needs before it starts, ``None`` to unset one.

    Parameters
    ----------
    condition : Condition
        Complete: the baseline's values overlaid with the run's (:meth:`ConditionPlan.complete`).
    base : mapping, optional
        The environment that the child starts from; this process' own by default.
    """
    base = os.environ if base is None else base
    merged: dict[str, str | None] = {}
    for name, value in condition:
        if not is_built_in(name) or value is None:
            continue
        for variable, text in find_axis(name).environment(value).items():
            separator = _JOINED.get(variable)
            earlier = merged.get(variable) or (base.get(variable) if separator else None)
            merged[variable] = f"{earlier}{separator}{text}" if separator and text and earlier else text
    return merged


def prefix_of(condition: Condition) -> list[str]:
    """Return the command through which a fresh interpreter is started."""
    return [
        part
        for name, v in condition
        if is_built_in(name) and v is not None
        for part in find_axis(name).command_prefix(v)
    ]


def arguments_of(condition: Condition) -> dict[str, JSON]:
    """Return the arguments that the test is called with in this condition."""
    return {name: value for name, value in condition if not is_built_in(name)}


def describe_condition(condition: Condition) -> str:
    """Say a condition in a phrase, each axis in its own words."""
    parts = (find_axis(name).describe(value) if is_built_in(name) else f"{name}={value!r}" for name, value in condition)
    return ", ".join(parts) or "same condition"


@contextmanager
def apply_condition(condition: Condition, ctx: AxisContext) -> Iterator[None]:
    """Vary all that can be varied inside the process, and undo it in the opposite order."""
    with ExitStack() as stack:
        for name, value in condition:
            if is_built_in(name) and value is not None:
                stack.enter_context(find_axis(name).apply(value, ctx))
        yield


def verify_condition(condition: Condition, names: Iterable[str]) -> tuple[Effect, ...]:
    """Read back what is in effect; call it inside :func:`apply_condition`, after the test's function has returned.

    Parameters
    ----------
    condition : Condition
        Complete.
    names : iterable of str
        The plan's axes: also one that is left as it is in this run is read, to be compared with the others.
    """
    values = condition.as_dict()
    return tuple(find_axis(name).verify(values.get(name)) for name in names if is_built_in(name))


@dataclass(frozen=True, slots=True)
class Variation:
    """Whether an axis really differed between the baseline's run and another.

    Attributes
    ----------
    axis : str
    status : {"varied", "partly", "not_varied"}
        ``not_varied``: nothing that could be read back differed, so that an equal result says nothing about the axis.
    varied, unchanged : tuple of str
        Components that differed and that did not.
    problems : tuple of (component, reason)
    """

    axis: str
    status: Literal["varied", "partly", "not_varied"]
    varied: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Say it in a sentence for the report."""
        reasons = "".join(f"; {component}: {reason}" for component, reason in self.problems)
        if self.status == "varied":
            return f"{self.axis} varied {', '.join(self.varied)}{reasons}"
        if self.status == "partly":
            return f"{self.axis} varied {', '.join(self.varied)}, not {', '.join(self.unchanged)}{reasons}"
        what = f"unchanged: {', '.join(self.unchanged)}" if self.unchanged else "nothing that obeys it was loaded"
        return f"{self.axis} was not varied ({what}){reasons}"


def judge_effects(baseline: Iterable[Effect], run: Iterable[Effect], condition: Condition) -> tuple[Variation, ...]:
    """Compare what two runs read back, for each axis that should differ between them.

    Parameters
    ----------
    baseline, run : iterable of Effect
        What :func:`verify_condition` gave in either run.
    condition : Condition
        The axes that differ, as in :attr:`PlannedRun.condition`.
    """
    before = {effect.axis: effect for effect in baseline}
    after = {effect.axis: effect for effect in run}
    variations = []
    for name, _ in condition:
        if not is_built_in(name):
            continue
        if name not in before or name not in after:
            variations.append(
                Variation(name, "not_varied", problems=((name, "what was in effect could not be read back"),))
            )
            continue
        variations.append(_judge(before[name], after[name]))
    return tuple(variations)


def _judge(before: Effect, after: Effect) -> Variation:
    # A component loaded in one run only has no counterpart to differ from.
    counts = find_axis(after.axis).counts
    shared = [c for c in after.observed if c in before.observed and counts(c, before.value, after.value)]
    varied = tuple(c for c in shared if before.observed[c] != after.observed[c])
    unchanged = tuple(c for c in shared if before.observed[c] == after.observed[c])
    status: Literal["varied", "partly", "not_varied"] = "not_varied"
    if varied:
        status = "partly" if unchanged else "varied"
    return Variation(after.axis, status, varied, unchanged, after.problems)
