"""Losses of a checkpoint, found by comparing the states at saving and after loading, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_repro.comparing import compare_artifacts
from pytest_repro.equivalences.causes import CAUSES
from pytest_repro.equivalences.experiment import Explanation
from pytest_repro.equivalences.lost_parts import GRADIENTS, NO_REFERENCES, Findings, group_of
from pytest_repro.equivalences.magnitude import find_lower_precision
from pytest_repro.equivalences.processes import TaskReport
from pytest_repro.equivalences.training import GENERATORS
from pytest_repro.model import ArtifactComparison, Artifacts

_GENERATOR_ROLES = {"torch": "torch_rng", "numpy": "numpy_rng", "python": "python_rng"}


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
    loaded: Artifacts,
    saved: Artifacts,
    roles: Mapping[str, str],
    when: str = "after loading",
    references: Mapping[str, str] = NO_REFERENCES,
) -> list[Loss]:
    """Compare a state with the state at saving, and return the parts that differ, with their roles.

    `references` has the paths at which a part refers to another one.
    """
    groups: dict[str, list[ArtifactComparison]] = {}
    for difference in compare_artifacts(loaded, saved, ignored_traits=("requires_grad",)).differences:
        groups.setdefault(group_of(difference.artifact, references), []).append(difference)
    return [_describe_loss(name, found, loaded, saved, roles, when) for name, found in groups.items()]


def _describe_loss(
    name: str,
    differences: list[ArtifactComparison],
    loaded: Artifacts,
    saved: Artifacts,
    roles: Mapping[str, str],
    when: str,
) -> Loss:
    root, _, generator = name.partition("/")
    role = roles.get(name) or roles.get(root, root)
    if root == GENERATORS:
        role = _GENERATOR_ROLES.get(generator, generator)
    formats = {_find_rounding(difference, loaded, saved) for difference in differences}
    if len(formats) == 1 and None not in formats:
        return Loss(name, "half_checkpoint", f"its values were rounded to {formats.pop()} on the way")
    first = differences[0]
    total = max(sum(path == name or path.startswith(f"{name}/") for path in saved.names), len(differences))
    detail = f"{first.actual} {when}, {first.expected} when saved" if first.kind == "values" else first.kind
    return Loss(name, role, f"{len(differences)} of {total} values differ; {first.artifact}: {detail}")


def _find_rounding(difference: ArtifactComparison, loaded: Artifacts, saved: Artifacts) -> str | None:
    if difference.kind != "values":
        return None
    return find_lower_precision(loaded.leaves[difference.artifact], saved.leaves[difference.artifact])


@dataclass(frozen=True, slots=True)
class Resumption:
    """A resumed training that ended differently.

    Attributes
    ----------
    stop : int
    earlier : sequence of int
        Stops before it, at which the training was saved too.
    straight, saving, resumed : TaskReport
        Of the training without a stop, of the one that saves, and of the one that resumes.
    tried : TaskReport or None
        Of the further runs, in which parts were restored. None if they failed.
    findings : Findings
        What they showed.
    """

    stop: int
    earlier: Sequence[int]
    straight: TaskReport
    saving: TaskReport
    resumed: TaskReport
    tried: TaskReport | None = None
    findings: Findings = field(default_factory=Findings)

    @property
    def shows_an_effect(self) -> bool:
        """Whether a part was shown on which something else depends."""
        return bool(self.findings.shown) and not self.findings.is_only_itself


def explain_resume(found: Resumption) -> Explanation:
    """Name the lost parts that the further runs showed to matter, and the first step that differs."""
    stop, saving, findings = found.stop, found.saving, found.findings
    first = _first_step(stop, found.straight, found.resumed)
    disturbed = {loss.name: (loss, each) for each in (*found.earlier, stop) for loss in _find_disturbed(each, saving)}
    if (step := _find_changed_by_saving(found)) is not None:
        proof = (
            f"the training that saves at step {found.earlier[-1]} differs from the one that does not, at step {step}"
        )
        known = {name: entry for name, entry in disturbed.items() if entry[1] in found.earlier}
        shown = _name_parts(list(known), found, {}, known, first, [proof])
        return shown if known else Explanation.of("resume.save", proof, first=first)
    losses = _find_all_losses(found)
    if findings.shown:
        return _explain_shown(found, losses, disturbed, first)
    problem = [findings.problem] if findings.problem and losses else []
    if disturbed and not losses:
        losses = {name: loss for name, (loss, _) in disturbed.items()}
    suspected = {name: loss for name, loss in losses.items() if loss.role != GRADIENTS and name not in findings.idle}
    if not suspected:
        gradients = [f"`{name}`: not saved; they matter if the next step adds to them" for name in losses]
        return Explanation.of("resume.unseen", *saving.facts["not_compared"], *gradients, *problem, first=first)
    return replace(
        _name_parts(list(suspected), found, losses, disturbed, first, problem),
        cause="",
        suspected=_name_parts(list(suspected), found, losses, disturbed, first, problem).cause,
    )


def _find_changed_by_saving(found: Resumption) -> int | None:
    """Return the first step before the stop that an earlier save() changed, since then it is what was saved."""
    straight, saving = found.straight.facts["digests"], found.saving.facts["digests"]
    return next((i for i in range(found.stop) if found.earlier and straight[i] != saving[i]), None)


def _find_all_losses(found: Resumption) -> dict[str, Loss]:
    """Return the parts that are different after loading, or that cannot be compared and were tried."""
    if found.tried is None:
        losses = find_losses(
            found.resumed.read("loaded"), _state_at(found.stop, found.saving), found.saving.facts["roles"]
        )
        before, roles = found.saving.read(f"at-{found.stop}/background"), found.saving.facts["background roles"]
        losses = losses or find_losses(found.resumed.read("background"), before, roles)
        return {loss.name: loss for loss in losses}
    roles = found.tried.facts["roles"]
    sides = found.tried.read("loaded"), found.tried.read("whole")
    losses = find_losses(*sides, roles, references=found.tried.facts["references"])
    known = {loss.name: loss for loss in losses}
    # A part that cannot be compared is not known to be lost.
    uncompared = {name: role for name, role in found.tried.facts["lost"].items() if name not in known}
    shown = {name: Loss(name, role, "it cannot be compared") for name, role in uncompared.items()}
    return known | {name: loss for name, loss in shown.items() if name in found.findings.shown}


def _explain_shown(
    found: Resumption, losses: Mapping[str, Loss], disturbed: Mapping[str, tuple[Loss, int]], first: str
) -> Explanation:
    names, findings = found.findings.shown, found.findings
    idle = [name for name in findings.idle if name in losses and losses[name].role != GRADIENTS]
    listed = " and ".join(f"`{name}`" for name in names)
    proof = f"with {listed} restored, the training ends like the one without a stop"
    if idle and not findings.is_only_itself:
        proof += ", apart from what nothing depends on"
    if findings.is_only_itself:
        proof += "; nothing else depends on it"
    else:
        proof += f"; without {'it' if len(names) == 1 else 'any one of them'}, it does not"
    proof += f" ({findings.runs} further trainings)"
    notes = [f"lost too, and nothing depends on it: {', '.join(f'`{name}`' for name in idle)}"] if idle else []
    explanation = _name_parts(names, found, losses, disturbed, first, [proof, *notes])
    untried = [name for name in findings.untried if name in losses and losses[name].role != GRADIENTS]
    if not untried:
        return explanation
    return replace(explanation, suspected=_name_parts(untried, found, losses, disturbed, first, []).cause)


def _name_parts(
    names: Sequence[str],
    found: Resumption,
    losses: Mapping[str, Loss],
    disturbed: Mapping[str, tuple[Loss, int]],
    first: str,
    proof: Sequence[str],
) -> Explanation:
    """Name parts by their roles. What saving itself has changed was not lost, but changed."""
    changed = [name for name in names if name in disturbed]
    lost = [losses[name] for name in names if name not in disturbed]
    codes = dict.fromkeys([*(["resume.save"] if changed else []), *(loss.code for loss in lost)])
    meaning = CAUSES["resume.save"].meaning if changed and not lost else "lost between save() and load()"
    evidence = [f"right after save() at step {disturbed[n][1]}: `{n}` ({disturbed[n][0].detail})" for n in changed]
    evidence += [f"`{loss.name}` ({loss.role}) at step {found.stop}: {loss.detail}" for loss in lost]
    fixes = [CAUSES["resume.save"].fix] if changed else []
    fixes += [CAUSES[loss.code].fix if loss.code in CAUSES else f"save `{loss.name}` and load it" for loss in lost]
    cause = f"{', '.join(codes)}: {meaning}"
    return Explanation(cause, (*evidence, *proof), "; ".join(dict.fromkeys(fixes)), first)


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
