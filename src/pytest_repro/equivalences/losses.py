"""What a checkpoint lost: the state right after loading against the state at saving, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_repro.comparing import compare_artifacts
from pytest_repro.equivalences.findings import Explanation
from pytest_repro.equivalences.magnitude import find_lower_precision
from pytest_repro.equivalences.processes import TaskReport
from pytest_repro.equivalences.training import GENERATORS
from pytest_repro.model import ArtifactComparison, Artifacts

_GENERATOR_PARTS = {"torch": "torch_rng", "numpy": "numpy_rng", "python": "python_rng"}

#: Part in training -> how it is saved and loaded.
_FIXES = {
    "weights": "save and load every parameter and buffer in its own dtype: model.state_dict()",
    "half_checkpoint": "save weights in the dtype they are trained in; half precision is for inference only",
    "optimizer": "save optimizer.state_dict() and load it: moments and step counts belong to the training",
    "scheduler": "save scheduler.state_dict() and load it: its count of steps decides the next learning rate",
    "scaler": "save scaler.state_dict() and load it: the scale and its growth counter decide which steps are skipped",
    "ema": "save the averaged weights beside the model's, and load them",
    "torch_rng": "save torch.get_rng_state() (and torch.cuda.get_rng_state_all()) and set it after everything is built",
    "numpy_rng": "save rng.bit_generator.state (np.random.get_state() for the global one) and set it after loading",
    "python_rng": "save random.getstate() and call random.setstate() after loading",
    "jax_key": "save jax.random.key_data(key), and wrap it again after loading",
    "data_order": "save the order (or the seed of the epoch) and the position in it, and go on from there",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """One part of the state that loading did not bring back as it was saved."""

    name: str
    part: str
    detail: str


def find_losses(loaded: Artifacts, saved: Artifacts, parts: Mapping[str, str]) -> list[Loss]:
    """Compare the state right after loading with the state at saving, and name the parts that differ."""
    groups: dict[str, list[ArtifactComparison]] = {}
    for difference in compare_artifacts(loaded, saved, ignored_traits=("requires_grad",)).differences:
        groups.setdefault(_group_of(difference.artifact), []).append(difference)
    return [_describe_loss(name, found, loaded, saved, parts) for name, found in groups.items()]


def _group_of(path: str) -> str:
    names = path.split("/")
    return "/".join(names[:2]) if names[0] == GENERATORS else names[0]


def _describe_loss(
    name: str,
    differences: list[ArtifactComparison],
    loaded: Artifacts,
    saved: Artifacts,
    parts: Mapping[str, str],
) -> Loss:
    root, _, generator = name.partition("/")
    part = _GENERATOR_PARTS.get(generator, generator) if root == GENERATORS else parts.get(root, root)
    formats = {_find_rounding(difference, loaded, saved) for difference in differences}
    if len(formats) == 1 and None not in formats:
        lower = formats.pop()
        return Loss(name, "half_checkpoint", f"its values were rounded to {lower} on the way")
    first = differences[0]
    total = sum(_group_of(path) == name for path in saved.names)
    what = (
        f"{first.artifact}: {first.actual} after loading, {first.expected} when saved" if first.kind == "values" else ""
    )
    what = what or f"{first.artifact}: {first.kind}"
    return Loss(name, part, f"{len(differences)} of {total} values differ; {what}")


def _find_rounding(difference: ArtifactComparison, loaded: Artifacts, saved: Artifacts) -> str | None:
    if difference.kind != "values":
        return None
    return find_lower_precision(loaded.leaves[difference.artifact], saved.leaves[difference.artifact])


def explain_resume(stop: int, straight: TaskReport, saving: TaskReport, resumed: TaskReport) -> Explanation:
    """Name what was lost at one stop, and the first step that differs."""
    parts: Any = saving.facts["parts"]
    saved = _without_returned(saving.read(f"at-{stop}/state"))
    losses = find_losses(resumed.read("loaded"), saved, parts)
    first = _first_step(stop, straight, resumed)
    disturbed = find_losses(saving.read(f"at-{stop}/after"), saved, parts)
    if disturbed:
        names = ", ".join(f"`{loss.name}` ({loss.detail})" for loss in disturbed)
        return Explanation(
            "resume.save: saving itself changes the training state",
            (f"right after save() at step {stop}: {names}",),
            "let save() work on copies: no in-place cast, no draw from a generator, no change of mode",
            first,
        )
    if not losses:
        return Explanation(
            "resume.unseen: all that could be compared was loaded as it was saved, and training goes on differently: "
            "something outside the compared state was lost",
            tuple(saving.facts["left_out"]),  # type: ignore[arg-type]
            "look at iterators, loaders, module globals and files; make them part of the checkpoint",
            first,
        )
    codes = ", ".join(dict.fromkeys(f"resume.{loss.part}" for loss in losses))
    told = tuple(f"`{loss.name}` ({loss.part}) at step {stop}: {loss.detail}" for loss in losses)
    fixes = dict.fromkeys(_FIXES.get(loss.part, f"save `{loss.name}` and load it") for loss in losses)
    return Explanation(f"{codes}: lost between save() and load()", told, "; ".join(fixes), first)


def _without_returned(artifacts: Artifacts) -> Artifacts:
    return Artifacts({p: leaf for p, leaf in artifacts.leaves.items() if p.partition("/")[0] != "returned"})


def _first_step(stop: int, straight: TaskReport, resumed: TaskReport) -> str:
    """Tell the first step after which the two trainings differ, and in which values."""
    whole: Any = straight.facts["digests"]
    rest: Any = resumed.facts["digests"]
    for i, digests in enumerate(rest, start=stop):
        other = whole[i]
        differing = [path for path in {**other, **digests} if other.get(path) != digests.get(path)]
        if differing:
            more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
            return f"step {i}: {', '.join(differing[:4])}{more}"
    return ""
