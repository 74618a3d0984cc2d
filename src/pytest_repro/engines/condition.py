"""A whole condition at once: a child's environment, what is applied in the process, and whether it took effect.

A condition consists of axes, arguments of the test, and the hidden pins of a diagnosis, which are applied as axes are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_repro.axes import AxisContext, BuiltInAxis, Effect, find_axis, is_built_in
from pytest_repro.axes.base import REPLACED
from pytest_repro.axes.started_programs import end_kept_workers
from pytest_repro.environments.keeper import MARK_VARIABLE
from pytest_repro.model import JSON, Condition
from pytest_repro.model.redaction import redact_condition

#: Prefix of a pin's name in a condition. No argument of a test can have such a name.
_PIN_PREFIX = "pin:"
_HASH_SEED = "PYTHONHASHSEED"
_PROCESS = "process"
#: Characters of the description of an interpreter, of which a variable's value may have any number.
MAX_DESCRIPTION = 200
#: Variables that hold a list: two axes may add to one, and the user's own entries stay in force before theirs.
_JOINED = {"GLIBC_TUNABLES": ":"}
#: Variables of pytest, xdist and coverage about their own processes, which a child must not inherit.
_NOT_INHERITED = ("PYTEST_XDIST_", "PYTEST_CURRENT_TEST", "COV_CORE_")


def find_part(name: str) -> BuiltInAxis | None:
    """Return the axis or the pin of a name, or None if the name is an argument of the test."""
    if name.startswith(_PIN_PREFIX):
        from pytest_repro.sources.pins import find_pin  # only a diagnosis needs it

        return find_pin(name)
    return find_axis(name) if is_built_in(name) else None


def _set_parts(condition: Condition) -> Iterator[tuple[BuiltInAxis, JSON]]:
    """Yield the axes and pins that a condition sets, in its order."""
    for name, value in condition:
        part = find_part(name)
        if part is not None and value is not None:
            yield part, value


def environment_of(condition: Condition, base: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Return the variables that a fresh interpreter needs before it starts, with ``None`` for one to unset.

    `condition` is complete: the baseline's values overlaid with the run's (:meth:`ConditionPlan.complete`). `base` is
    the environment that the child starts from, by default this process' own.
    """
    base = os.environ if base is None else base
    merged: dict[str, str | None] = {}
    for part, value in _set_parts(condition):
        for variable, text in part.environment(value).items():
            separator = _JOINED.get(variable)
            earlier = merged.get(variable) or (base.get(variable) if separator else None)
            merged[variable] = f"{earlier}{separator}{text}" if separator and text and earlier else text
    return merged


def environment_of_child(condition: Condition, mark: str) -> dict[str, str]:
    """Return the environment of a child: this process' own, changed as a complete condition requires, with a mark."""
    changes = changes_of_child(condition)
    environment = {name: text for name, text in os.environ.items() if name not in changes}
    return environment | {name: text for name, text in changes.items() if text is not None} | {MARK_VARIABLE: mark}


def changes_of_child(condition: Condition, base: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Return how a child's environment differs from `base`, with None for a variable to unset.

    `base` is by default this process' own environment.
    """
    own = [name for name in (os.environ if base is None else base) if name.startswith(_NOT_INHERITED)]
    changes: dict[str, str | None] = dict.fromkeys(own)
    changes |= environment_of(condition, base)
    changes[_HASH_SEED] = _decide_hash_seed(condition, changes)
    return changes


def _decide_hash_seed(condition: Condition, changes: Mapping[str, str | None]) -> str | None:
    """Return a child's PYTHONHASHSEED, or None to leave it unset.

    What an axis or a pin sets comes first. Then each process along the axis `process` has its own, since a user's
    fresh processes differ in it too. Otherwise the user's own value holds, or 1: only what is named may vary. With 0
    the flag `hash_randomization` would not be a plain run's.
    """
    if _HASH_SEED in changes:
        return changes[_HASH_SEED]
    process = condition.as_dict().get("process")
    return str(int(str(process)) + 1) if process else os.environ.get(_HASH_SEED, "1")


def hash_seed_of(condition: Condition, engine: str) -> str:
    """Return the hash seed of a run: that of this process, or of the child that was started for its condition."""
    own = os.environ.get(_HASH_SEED) or "random"
    if engine == "in_process":
        return own
    given = condition.as_dict().get("hash_seed")
    return _decide_hash_seed(condition, {} if given is None else {_HASH_SEED: str(given)}) or own


def needs_interpreter(names: Iterable[str]) -> bool:
    """Return whether one of these axes and pins can be set only before an interpreter starts."""
    return any(part.needs == "spawn" for name in names if (part := find_part(name)) is not None)


def interpreter_of(condition: Condition, axes: Iterable[str] = ()) -> Condition | None:
    """Return the part of a complete condition for which an interpreter must be started.

    Forks of an interpreter that was started for it can make the runs. None means that each run needs a fresh one.
    `axes` are the plan's: if none of them, and nothing in the condition, needs an interpreter, the part is empty.
    """
    if not needs_interpreter([*axes, *(name for name, _ in condition)]):
        return Condition()
    needed = []
    for name, value in condition:
        part = find_part(name)
        if part is None or value is None:
            continue
        if not part.forks_suffice(value):
            return None
        sets_something = part.environment(value) or part.command_prefix(value)
        if sets_something or (part.needs == "spawn" and name != _PROCESS):
            needed.append((name, value))
    return Condition(tuple(needed))


def describe_interpreter(needed: Condition) -> str:
    """Describe in few words what an interpreter was started for, without secrets. Empty if nothing was set."""
    needed = Condition(tuple(redact_condition(needed.as_dict()).items()))
    shown = (part.describe(value) for part, value in _set_parts(needed))
    return ", ".join(shown)[:MAX_DESCRIPTION]


def prefix_of(condition: Condition) -> list[str]:
    """Return the command through which a fresh interpreter is started."""
    return [word for part, value in _set_parts(condition) for word in part.command_prefix(value)]


def arguments_of(condition: Condition) -> dict[str, JSON]:
    """Return the arguments that the test is called with in this condition."""
    return {name: value for name, value in condition if find_part(name) is None}


@contextmanager
def apply_condition(condition: Condition, ctx: AxisContext, axes: Iterable[str] = ()) -> Iterator[None]:
    """Vary all that can be varied inside the process, and undo it in the opposite order.

    `axes` are the plan's. One that this run leaves unchanged is entered as well, since it may watch the run.
    """
    values = condition.as_dict()
    unchanged = [part for name in axes if values.get(name) is None and (part := find_part(name)) is not None]
    with ExitStack() as stack:
        for part, value in [*_set_parts(condition), *((part, None) for part in unchanged)]:
            stack.enter_context(part.apply(value, ctx))
        yield


@contextmanager
def applied(condition: Condition, axes: Iterable[str], scratch: Path | None = None) -> Iterator[None]:
    """Apply a condition with a scratch folder of its own, if any axes or pins are in use."""
    if not axes:
        yield
        return
    end_kept_workers()
    with (
        tempfile.TemporaryDirectory("", "pytest-repro-", scratch, ignore_cleanup_errors=True) as folder,
        apply_condition(condition, AxisContext(Path(folder)), axes),
    ):
        try:
            yield
        finally:
            end_kept_workers()


def verify_condition(condition: Condition, names: Iterable[str]) -> tuple[Effect, ...]:
    """Read back the effects of a complete condition, inside :func:`apply_condition`, after the test's function.

    `names` are the plan's axes: one that this run does not change is read as well, for comparison with other runs.
    """
    values = condition.as_dict()
    return tuple(part.verify(values.get(name)) for name in names if (part := find_part(name)) is not None)


@dataclass(frozen=True, slots=True)
class Variation:
    """Whether an axis really differed between the baseline's run and another.

    Attributes
    ----------
    axis : str
    status : {"varied", "partly", "not_varied"}
        ``not_varied``: nothing that could be read back differed, and an equal result proves nothing about the axis.
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
        """Describe it in a sentence for the report."""
        reasons = "".join(f"; {component}: {reason}" for component, reason in self.problems)
        if self.status == "varied":
            return f"{self.axis} varied {', '.join(self.varied)}{reasons}"
        if self.status == "partly":
            return f"{self.axis} varied {', '.join(self.varied)}, not {', '.join(self.unchanged)}{reasons}"
        what = f"unchanged: {', '.join(self.unchanged)}" if self.unchanged else "nothing that obeys it was loaded"
        return f"{self.axis} was not varied ({what}){reasons}"


def judge_effects(baseline: Iterable[Effect], run: Iterable[Effect], condition: Condition) -> tuple[Variation, ...]:
    """Compare the effects that two runs read back, for each axis of the condition in which they differ."""
    before = {effect.axis: effect for effect in baseline}
    after = {effect.axis: effect for effect in run}
    variations = []
    for name, _ in condition:
        if find_part(name) is None:
            continue
        if name in before and name in after:
            variations.append(_judge(before[name], after[name]))
        else:
            problem = (name, "what was in effect could not be read back")
            variations.append(Variation(name, "not_varied", problems=(problem,)))
    return tuple(variations)


def _judge(before: Effect, after: Effect) -> Variation:
    part = find_part(after.axis)
    assert part is not None
    # A component loaded in one run only has no counterpart to differ from.
    shared = [c for c in after.observed if c in before.observed and part.counts(c, before.value, after.value)]
    # What the test put in the place of a component in one of the two runs does not follow the axis.
    same = {c for c in shared if before.observed[c] == after.observed[c]}
    same |= {c for c in shared if REPLACED in (before.observed[c], after.observed[c])}
    varied, unchanged = tuple(c for c in shared if c not in same), tuple(c for c in shared if c in same)
    status: Literal["varied", "partly", "not_varied"] = "not_varied"
    if varied:
        status = "partly" if unchanged else "varied"
    return Variation(after.axis, status, varied, unchanged, after.problems)
