"""Search for the lost parts of a checkpoint that matter, by further runs in which some of them are restored."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from pytest_repro.comparing import compare_artifacts
from pytest_repro.equivalences.training import GENERATORS
from pytest_repro.errors import OutOfTimeError
from pytest_repro.model import Artifacts, Tolerance, TolerancePolicy, Verdict

#: Role of gradients, which are left in parameters between steps. Most trainings clear them before the next step.
GRADIENTS = "gradients"
#: Roles of parts that matter only by what other parts draw or compute with them.
#: Where nothing else is different at the end, they had no effect.
_MEANS = frozenset({
    "torch_rng", "numpy_rng", "python_rng", "rng", "jax_key", "optimizer", "scheduler", "scaler", "data_order",
    "mode", "frozen", GRADIENTS,
})  # fmt: skip
#: Names of parts that only record what happened. A lost one is a cause only if nothing else is.
_RECORDS = frozenset({
    "curve", "curves", "hist", "history", "log", "logger", "logs", "losses", "metrics", "records", "run_name",
    "timings",
})  # fmt: skip
NO_REFERENCES: Mapping[str, str] = MappingProxyType({})
_BOUNDS = ("max_ulp", "rtol", "atol", "norm", "norm_cap", "rows")


def group_of(path: str, references: Mapping[str, str] = NO_REFERENCES) -> str:
    """Return the part of a state that an artifact belongs to, or the global generator.

    `references` has the paths at which a part refers to another one.
    """
    names = path.split("/")
    for length in range(2, len(names) + 1) if references else ():
        if (owner := references.get("/".join(names[:length]))) is not None:
            return owner
    return "/".join(names[:2]) if names[0] == GENERATORS else names[0]


@dataclass(slots=True)
class Findings:
    """Result of the further runs.

    Attributes
    ----------
    shown : list of str
        Parts without which the results differ, although all others were restored.
    idle : list of str
        Parts on which nothing depended.
    untried : list of str
        Parts that could not be tried.
    is_only_itself : bool
        Whether the parts that were shown are all that differs at the end.
    runs : int
        Number of further trainings.
    problem : str
        Why no part was shown, or an empty string.
    """

    shown: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    is_only_itself: bool = False
    runs: int = 0
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the findings in built-in types."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges how a training ended.

    Attributes
    ----------
    expected, resumed : Artifacts
        Results of the training without a stop, and of the one that was resumed in a process of its own.
    policy : TolerancePolicy
    roles : mapping of part -> role
        Lost parts of the compared state.
    references : mapping of path -> part
        Where a part refers to another one.
    """

    expected: Artifacts
    resumed: Artifacts
    policy: TolerancePolicy
    roles: Mapping[str, str]
    references: Mapping[str, str]

    def agrees(self, actual: Artifacts, missing: Collection[str] = ()) -> bool:
        """Return whether a training ended as it should, apart from missing means and lost records."""
        ignored = {name for name in missing if self.roles.get(name) in _MEANS}
        ignored |= {name for name in self.roles if name.rpartition("/")[2] in _RECORDS}
        actual, expected = (self._without(side, ignored) for side in (actual, self.expected))
        found = compare_artifacts(actual, expected, self.policy, ignored_traits=("requires_grad",))
        return found.verdict is not Verdict.DIVERGED

    def is_resumed(self, actual: Artifacts) -> bool:
        """Return whether a training ended like the one that was resumed in a process of its own."""
        return not compare_artifacts(actual, self.resumed, TolerancePolicy()).divergences

    def differing(self, actual: Artifacts) -> set[str]:
        """Return the parts that are different at the end."""
        found = compare_artifacts(actual, self.expected, self.policy, ignored_traits=("requires_grad",))
        return {group_of(difference.artifact, self.references) for difference in found.divergences}

    def _without(self, artifacts: Artifacts, parts: Collection[str]) -> Artifacts:
        leaves = artifacts.leaves.items()
        kept = {path: leaf for path, leaf in leaves if group_of(path, self.references) not in parts}
        return Artifacts(kept, list(artifacts.not_compared))


def encode_policy(policy: TolerancePolicy) -> str:
    """Return the bounds of a policy as JSON."""
    return json.dumps([[glob, {name: getattr(bound, name) for name in _BOUNDS}] for glob, bound in policy.rules])


def decode_policy(text: str) -> TolerancePolicy:
    """Return the policy that :func:`encode_policy` was given. A rule that needs a reference becomes its bounds."""
    return TolerancePolicy(tuple((glob, Tolerance(**bounds)) for glob, bounds in json.loads(text)))


def find_lost_parts(lost: Mapping[str, str], train: Callable[[Collection[str]], Artifacts], judge: Judge) -> Findings:
    """Find the parts that have to be restored for a resumed training to end as it should.

    Parameters
    ----------
    lost : mapping of part -> role
        Parts that are different after loading, or that cannot be compared.
    train : callable (parts) -> Artifacts
        Resumes with these parts restored, and returns the results. Raises OutOfTimeError.
    judge : Judge

    Notes
    -----
    A part is shown if the results differ without it, with all others restored, and if the parts that are shown suffice.
    Where several could stand in for each other, they are left out one after the other until none can be spared.
    """
    names = list(lost)
    try:
        if not judge.is_resumed(bare := train(())):
            problem = (
                "a training that is resumed in the process of the other one ends differently, so parts could not be "
                "restored: a module or a class keeps state"
            )
            return Findings(problem=problem)
        if not names or not judge.agrees(train(names)):
            return Findings(problem="the results differ even with all of them restored" if names else "")
        if judge.agrees(bare, names):
            differing = judge.differing(bare)
            shown = [name for name in names if name in differing]
            return Findings(shown, [name for name in names if name not in differing], is_only_itself=True)
    except OutOfTimeError:
        return Findings(untried=names, problem="there was no time to try it")
    except Exception as error:
        return Findings(untried=names, problem=f"they could not be restored: {type(error).__name__}: {error}"[:300])
    return _leave_out(names, lost, train, judge)


def _leave_out(
    names: list[str], lost: Mapping[str, str], train: Callable[[Collection[str]], Artifacts], judge: Judge
) -> Findings:
    """Leave out one part after the other, the least probable first, and keep those that cannot be spared."""
    kept, untried = list(names), []
    for name in sorted(names, key=lambda each: lost[each] not in _MEANS):
        rest = [each for each in kept if each != name]
        missing = [each for each in names if each not in rest]
        try:
            if judge.agrees(train(rest), missing):
                kept = rest
        except Exception:  # this part cannot be exchanged, or there was no time: it is neither shown nor idle
            untried.append(name)
    shown = [name for name in kept if name not in untried]
    return Findings(shown, [name for name in names if name not in kept], untried)
