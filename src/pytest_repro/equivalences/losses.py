"""Losses of a checkpoint, found by comparing the states at saving and after loading, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_repro.comparing import compare_artifacts
from pytest_repro.equivalences.causes import CAUSES
from pytest_repro.equivalences.experiment import Explanation
from pytest_repro.equivalences.magnitude import find_lower_precision
from pytest_repro.equivalences.processes import TaskReport
from pytest_repro.equivalences.training import GENERATORS
from pytest_repro.model import ArtifactComparison, Artifacts

_GENERATOR_ROLES = {"torch": "torch_rng", "numpy": "numpy_rng", "python": "python_rng"}

#: Role of gradients, which are left in parameters between steps. Most trainings clear them before the next step.
GRADIENTS = "gradients"


@dataclass(frozen=True, slots=True)
class Loss:
    """One part of the state that is different after loading."""

    name: str
    role: str
    detail: str

    @property
    def code(self) -> str:
        """Code of the cause. A role without words of its own is the name of a variable."""
        return f"resume.{self.role}"


def find_losses(
    loaded: Artifacts, saved: Artifacts, roles: Mapping[str, str], when: str = "after loading"
) -> list[Loss]:
    """Compare a state with the state at saving, and return the parts that differ, with their roles."""
    groups: dict[str, list[ArtifactComparison]] = {}
    for difference in compare_artifacts(loaded, saved, ignored_traits=("requires_grad",)).differences:
        groups.setdefault(_group_of(difference.artifact), []).append(difference)
    return [_describe_loss(name, found, loaded, saved, roles, when) for name, found in groups.items()]


def _group_of(path: str) -> str:
    names = path.split("/")
    return "/".join(names[:2]) if names[0] == GENERATORS else names[0]


def _describe_loss(
    name: str,
    differences: list[ArtifactComparison],
    loaded: Artifacts,
    saved: Artifacts,
    roles: Mapping[str, str],
    when: str,
) -> Loss:
    root, _, generator = name.partition("/")
    role = _GENERATOR_ROLES.get(generator, generator) if root == GENERATORS else roles.get(root, root)
    formats = {_find_rounding(difference, loaded, saved) for difference in differences}
    if len(formats) == 1 and None not in formats:
        return Loss(name, "half_checkpoint", f"its values were rounded to {formats.pop()} on the way")
    first = differences[0]
    total = sum(_group_of(path) == name for path in saved.names)
    detail = f"{first.actual} {when}, {first.expected} when saved" if first.kind == "values" else first.kind
    return Loss(name, role, f"{len(differences)} of {total} values differ; {first.artifact}: {detail}")


def _find_rounding(difference: ArtifactComparison, loaded: Artifacts, saved: Artifacts) -> str | None:
    if difference.kind != "values":
        return None
    return find_lower_precision(loaded.leaves[difference.artifact], saved.leaves[difference.artifact])


def explain_resume(
    stop: int, earlier: Sequence[int], straight: TaskReport, saving: TaskReport, resumed: TaskReport
) -> Explanation:
    """Name what was lost at one stop, and the first step that differs.

    The reports are of the training without a stop, of the one that saves, also at earlier stops, and of the one that
    resumes at the stop.
    """
    first = _first_step(stop, straight, resumed)
    for each in (*earlier, stop):
        disturbed = _find_disturbed(each, saving)
        if disturbed:
            names = ", ".join(f"`{loss.name}` ({loss.detail})" for loss in disturbed)
            return Explanation.of("resume.save", f"right after save() at step {each}: {names}", first=first)
    losses = find_losses(resumed.read("loaded"), _state_at(stop, saving), saving.facts["roles"])
    background: list[Loss] = []
    if not losses:
        # Only if the compared state does not explain it: training may not depend on what else was lost.
        before, roles = saving.read(f"at-{stop}/background"), saving.facts["background roles"]
        background = find_losses(resumed.read("background"), before, roles)
        losses = [loss for loss in background if loss.role != GRADIENTS]
    if not losses:
        gradients = [f"`{loss.name}`: not saved; they matter if the next step adds to them" for loss in background]
        return Explanation.of("resume.unseen", *saving.facts["not_compared"], *gradients, first=first)
    codes = ", ".join(dict.fromkeys(loss.code for loss in losses))
    evidence = tuple(f"`{loss.name}` ({loss.role}) at step {stop}: {loss.detail}" for loss in losses)
    fixes = dict.fromkeys(
        CAUSES[loss.code].fix if loss.code in CAUSES else f"save `{loss.name}` and load it" for loss in losses
    )
    return Explanation(f"{codes}: lost between save() and load()", evidence, "; ".join(fixes), first)


def _find_disturbed(stop: int, saving: TaskReport) -> list[Loss]:
    """Compare the states before and after saving, and the background only if the compared state is the same."""
    when = "after save()"
    after, background = saving.read(f"at-{stop}/after"), saving.read(f"at-{stop}/background after")
    return find_losses(after, _state_at(stop, saving), saving.facts["roles"], when) or find_losses(
        background, saving.read(f"at-{stop}/background"), saving.facts["background roles"], when
    )


def _state_at(stop: int, saving: TaskReport) -> Artifacts:
    """Return the state at saving, without the value that the step returned."""
    leaves = saving.read(f"at-{stop}/state").leaves
    return Artifacts({path: leaf for path, leaf in leaves.items() if path.partition("/")[0] != "returned"})


def _first_step(stop: int, straight: TaskReport, resumed: TaskReport) -> str:
    """Return the first step after which the two trainings differ, with the values that differ."""
    for i, digests in enumerate(resumed.facts["digests"], start=stop):
        other = straight.facts["digests"][i]
        differing = [path for path in {**other, **digests} if other.get(path) != digests.get(path)]
        if differing:
            more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
            return f"step {i}: {', '.join(differing[:4])}{more}"
    return ""
