"""What a checkpoint lost: the state right after loading against the state at saving, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_repro.comparing import compare_artifacts
from pytest_repro.equivalences.findings import Explanation
from pytest_repro.equivalences.magnitude import find_lower_precision
from pytest_repro.equivalences.processes import TaskReport
from pytest_repro.equivalences.training import GENERATORS
from pytest_repro.model import ArtifactComparison, Artifacts

_GENERATOR_PARTS = {"torch": "torch_rng", "numpy": "numpy_rng", "python": "python_rng"}

#: What is left in parameters between steps; most trainings clear it before the next.
GRADIENTS = "gradients"

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
    "mode": "call model.train() after loading, and keep which layers are in training mode",
    "frozen": "save which parameters require gradients, and set it after loading",
    "data_order": "save the order (or the seed of the epoch) and the position in it, and go on from there",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """One part of the state that loading did not bring back as it was saved."""

    name: str
    part: str
    detail: str


def find_losses(
    loaded: Artifacts, saved: Artifacts, parts: Mapping[str, str], when: str = "after loading"
) -> list[Loss]:
    """Compare the state right after loading with the state at saving, and name the parts that differ."""
    groups: dict[str, list[ArtifactComparison]] = {}
    for difference in compare_artifacts(loaded, saved, ignored_traits=("requires_grad",)).differences:
        groups.setdefault(_group_of(difference.artifact), []).append(difference)
    return [_describe_loss(name, found, loaded, saved, parts, when) for name, found in groups.items()]


def _group_of(path: str) -> str:
    names = path.split("/")
    return "/".join(names[:2]) if names[0] == GENERATORS else names[0]


def _describe_loss(
    name: str,
    differences: list[ArtifactComparison],
    loaded: Artifacts,
    saved: Artifacts,
    parts: Mapping[str, str],
    when: str,
) -> Loss:
    root, _, generator = name.partition("/")
    part = _GENERATOR_PARTS.get(generator, generator) if root == GENERATORS else parts.get(root, root)
    formats = {_find_rounding(difference, loaded, saved) for difference in differences}
    if len(formats) == 1 and None not in formats:
        lower = formats.pop()
        return Loss(name, "half_checkpoint", f"its values were rounded to {lower} on the way")
    first = differences[0]
    total = sum(_group_of(path) == name for path in saved.names)
    what = f"{first.artifact}: {first.actual} {when}, {first.expected} when saved" if first.kind == "values" else ""
    what = what or f"{first.artifact}: {first.kind}"
    return Loss(name, part, f"{len(differences)} of {total} values differ; {what}")


def _find_rounding(difference: ArtifactComparison, loaded: Artifacts, saved: Artifacts) -> str | None:
    if difference.kind != "values":
        return None
    return find_lower_precision(loaded.leaves[difference.artifact], saved.leaves[difference.artifact])


def explain_resume(
    stop: int, earlier: Sequence[int], straight: TaskReport, saving: TaskReport, resumed: TaskReport
) -> Explanation:
    """Name what was lost at one stop, and the first step that differs.

    Parameters
    ----------
    stop : int
    earlier : sequence of int
        Stops at which the same training had saved before.
    straight, saving, resumed : TaskReport
    """
    first = _first_step(stop, straight, resumed)
    for each in (*earlier, stop):
        disturbed = _find_disturbed(each, saving)
        if disturbed:
            names = ", ".join(f"`{loss.name}` ({loss.detail})" for loss in disturbed)
            return Explanation(
                "resume.save: saving itself changes the training state",
                (f"right after save() at step {each}: {names}",),
                "let save() work on copies: no in-place cast, no draw from a generator, no change of mode",
                first,
            )
    losses = find_losses(resumed.read("loaded"), _saved_at(stop, saving), _parts(saving))
    # Only where nothing that is judged explains it: what lies behind may be lost and never be missed.
    behind = (
        []
        if losses
        else find_losses(resumed.read("background"), saving.read(f"at-{stop}/background"), _parts_behind(saving))
    )
    losses = losses or [loss for loss in behind if loss.part != GRADIENTS]
    if not losses:
        left_out: Any = saving.facts["left_out"]
        gradients = [f"`{loss.name}`: not saved; they matter where the next step adds to them" for loss in behind]
        return Explanation(
            "resume.unseen: all that could be compared was loaded as it was saved, and training goes on differently: "
            "something outside the compared state was lost",
            (*left_out, *gradients),
            "look at iterators, loaders, module globals and files; make them part of the checkpoint",
            first,
        )
    codes = ", ".join(dict.fromkeys(f"resume.{loss.part}" for loss in losses))
    told = tuple(f"`{loss.name}` ({loss.part}) at step {stop}: {loss.detail}" for loss in losses)
    fixes = dict.fromkeys(_FIXES.get(loss.part, f"save `{loss.name}` and load it") for loss in losses)
    return Explanation(f"{codes}: lost between save() and load()", told, "; ".join(fixes), first)


def _find_disturbed(stop: int, saving: TaskReport) -> list[Loss]:
    """Compare the state before and after saving; what only lies behind where nothing that is judged differs."""
    after = "after save()"
    judged = find_losses(saving.read(f"at-{stop}/after"), _saved_at(stop, saving), _parts(saving), after)
    return judged or find_losses(
        saving.read(f"at-{stop}/background after"),
        saving.read(f"at-{stop}/background"),
        _parts_behind(saving),
        after,
    )


def _saved_at(stop: int, saving: TaskReport) -> Artifacts:
    return _without_returned(saving.read(f"at-{stop}/state"))


def _parts(saving: TaskReport) -> dict[str, str]:
    parts: Any = saving.facts["parts"]
    return dict(parts)


def _parts_behind(saving: TaskReport) -> dict[str, str]:
    parts: Any = saving.facts["background parts"]
    return dict(parts)


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
