"""Whether a float64 run can be the reference of an automatic tolerance, and how far into a training it judges."""

from __future__ import annotations

import dataclasses
import glob
import math
import re
from dataclasses import dataclass

from pytest_repro.comparing.artifacts import compare_artifacts
from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.rules import data_of, dtype_of, unit_roundoff_of
from pytest_repro.model import Artifacts, Comparison, Leaf, Tolerance, TolerancePolicy
from pytest_repro.numerics.rms import error_rms

#: Of the value's scale. Once the baseline's own error against float64 is as large, a training has left the path of the
#: exact one, and a multiple of that error would allow anything. Weights drift by 1e-7 in 100 steps of float32, and by
#: 4e-3 to 0.16 in 1,000.
NOISE_CEILING = 0.01
#: In unit roundoffs; lifts the ceiling for bfloat16, whose very first result may be off by 1 %.
NOISE_ROUNDOFFS = 16
_STEP = re.compile(r"step/(\d+)/")


@dataclass(frozen=True, slots=True)
class ReferenceRules:
    """What a reference can judge.

    Attributes
    ----------
    policy : TolerancePolicy
    open : frozenset of str
        Artifacts that it cannot judge and for which no bound was given: equal bits pass, other values are open.
    reason : str
        Why they are open.
    left_out : frozenset of str
        Values of training steps beyond the first k, which are not compared.
    notes : tuple of str
    """

    policy: TolerancePolicy
    open: frozenset[str] = frozenset()
    reason: str = ""
    left_out: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def choose_rules(baseline: Artifacts, reference: Artifacts | None, asked: TolerancePolicy) -> ReferenceRules:
    """Decide by which rule each artifact is judged.

    Parameters
    ----------
    baseline : Artifacts
    reference : Artifacts or None
        What the baseline's computation gave in float64.
    asked : TolerancePolicy
        Globs with bounds of their own; ``*`` stands for what no reference can judge.

    Returns
    -------
    ReferenceRules
    """
    explicit = tuple(rule for rule in asked.rules if rule[0] != "*")
    fallback = next((tolerance for pattern, tolerance in asked.rules if pattern == "*"), None)
    own = TolerancePolicy(explicit) if explicit else None
    floats = [
        path
        for path in baseline.names
        if unit_roundoff_of(baseline.leaves[path].dtype) is not None and (own is None or not own.covers(path))
    ]
    unusable = _why_unusable(floats, baseline, reference)
    if unusable or reference is None:
        rest = Tolerance() if fallback is None else fallback
        told = f"no float64 reference: {unusable}"
        return ReferenceRules(
            TolerancePolicy((*explicit, ("*", rest))),
            frozenset(floats if fallback is None else ()),
            told,
            notes=(told if fallback is None else f"{told}; judged by the bounds given, {rest.describe()}",),
        )
    noise = {path: _measure_noise(baseline.leaves[path], reference.leaves[path]) for path in floats}
    noisy = [path for path in floats if noise[path] > _ceiling(baseline.leaves[path])]
    left_out, notes = _cut_steps(floats, noisy, noise)
    if floats and left_out >= set(floats):
        left_out, notes = frozenset(), []  # nothing would be judged at all: open, not left out
    beyond = [path for path in noisy if path not in left_out]
    placed = [(glob.escape(path), Tolerance() if fallback is None else fallback) for path in beyond]
    if beyond and fallback is not None:
        notes.append(f"judged by the bounds given, {fallback.describe()}: {_tell(beyond, noise)}")
    auto = Tolerance.auto(reference)
    return ReferenceRules(
        TolerancePolicy((*explicit, *placed, ("*", auto))),
        frozenset(beyond if fallback is None else ()),
        f"run 1's own error against float64 is too large to judge by: {_tell(beyond, noise)}. "
        "Compare the first steps by repro.step(i, ...), and give bounds for what comes after: "
        'tolerance={"metrics/*": Tolerance(...)}',
        left_out,
        tuple(notes),
    )


def tolerance_of_repeats(rules: ReferenceRules, baseline: Artifacts, first: Artifacts) -> TolerancePolicy:
    """Return what may differ between two runs on one device: as much as between it and the baseline's device.

    The rule itself would not do: a run that is far from the reference would excuse a repeat that is as far.
    """
    own: list[tuple[str, Tolerance]] = []
    for path, leaf in first.leaves.items():
        tolerance, expected = rules.policy.find(path), baseline.leaves.get(path)
        if tolerance.rule != "reference" or expected is None or unit_roundoff_of(leaf.dtype) is None:
            continue
        better = tolerance.reference.leaves.get(path)
        if better is None or not leaf.shape == expected.shape == better.shape:
            continue
        error = error_rms(data_of(expected), data_of(better), dtype=dtype_of(expected))
        scale = error_rms(data_of(leaf), data_of(better), dtype=dtype_of(leaf)).scale
        allowed = tolerance.factor * error.rms + (unit_roundoff_of(expected.dtype) or 0.0) * scale
        if scale and math.isfinite(allowed):
            own.append((glob.escape(path), Tolerance(norm=allowed / scale)))
    rest = [
        (pattern, tolerance) for pattern, tolerance in rules.policy.rules if tolerance.rule in ("bounds", "per_dtype")
    ]
    return TolerancePolicy((*own, *(rule for rule in rest if rule[0] != "*"), ("*", Tolerance())))


def compare_by_reference(
    actual: Artifacts, expected: Artifacts, rules: ReferenceRules, ignored_traits: tuple[str, ...]
) -> tuple[Comparison, bool]:
    """Compare by what the reference can judge; tell whether something else than that differs.

    Returns
    -------
    Comparison
        An open artifact whose values differ is in it as one within what is allowed, marked as not judged.
    bool
        Whether there is such a one: then nothing may be called reproducible.
    """
    left, right = without(actual, rules.left_out), without(expected, rules.left_out)
    compared = compare_artifacts(left, right, rules.policy, ignored_traits=ignored_traits)
    differences = tuple(
        dataclasses.replace(d, within=True, over=0, allowed="not judged", note=rules.reason)
        if d.artifact in rules.open and not d.within and d.kind == "values"
        else d
        for d in compared.differences
    )
    is_open = any(d.allowed == "not judged" for d in differences)
    return Comparison(differences, compared.artifacts, compared.elements), is_open


def without(artifacts: Artifacts, left_out: frozenset[str]) -> Artifacts:
    """Return artifacts less some of them."""
    if not left_out:
        return artifacts
    return Artifacts({path: leaf for path, leaf in artifacts.leaves.items() if path not in left_out})


def _why_unusable(floats: list[str], baseline: Artifacts, reference: Artifacts | None) -> str:
    """Say why a run was not the baseline's computation in float64; empty if it was, as far as its results tell."""
    if reference is None:
        return "the reference run was not made"
    is_same = bool(floats)
    for path in floats:
        leaf, better = baseline.leaves[path], reference.leaves.get(path)
        name = repr(shorten(escape(path)))
        if better is None or better.form == "node":
            return f"the reference run gave no {name}"
        if better.shape != leaf.shape:
            return f"the reference run gave {name} of shape {better.shape}, run 1 of {leaf.shape}"
        if leaf.dtype == "float64":
            return f"run 1 computes {name} in float64 already, and nothing better is at hand"
        if better.dtype not in ("float64", "float"):
            return f"{name} is {better.dtype} in the reference run too; place models and data by repro.place(...)"
        is_same = is_same and _measure_error(leaf, better) == 0
    if is_same:
        return "the reference run gave the very numbers of run 1; place models and data by repro.place(...)"
    return ""


def _measure_error(leaf: Leaf, reference: Leaf) -> float:
    return error_rms(data_of(leaf), data_of(reference), dtype=dtype_of(leaf)).rms


def _measure_noise(leaf: Leaf, reference: Leaf) -> float:
    """Return the baseline's error relative to the scale of the value; NaN where either is not finite."""
    figures = error_rms(data_of(leaf), data_of(reference), dtype=dtype_of(leaf))
    if not figures.scale:
        return float("inf") if figures.rms else 0.0
    return figures.rms / figures.scale


def _ceiling(leaf: Leaf) -> float:
    return max(NOISE_CEILING, NOISE_ROUNDOFFS * (unit_roundoff_of(leaf.dtype) or 0.0))


def _cut_steps(floats: list[str], noisy: list[str], noise: dict[str, float]) -> tuple[frozenset[str], list[str]]:
    """Find the first step at which the noise is too large; it and all later ones are left out."""
    steps = {path: int(match[1]) for path in floats if (match := _STEP.match(path))}
    if not steps:
        return frozenset(), []
    first = min((steps[path] for path in noisy if path in steps), default=None)
    if first is None:
        return frozenset(), [f"steps are compared numerically up to the last, {max(steps.values())}"]
    at_first = [path for path in noisy if steps.get(path) == first]
    told = (
        f"steps are compared numerically before step {first}: there run 1's own error against float64 is "
        f"{_tell(at_first, noise)}; later steps are not compared"
    )
    return frozenset(path for path, step in steps.items() if step >= first), [told]


def _tell(paths: list[str], noise: dict[str, float]) -> str:
    worst = sorted(paths, key=lambda path: -noise[path])[:3]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(f"{100 * noise[path]:.2g} % of {shorten(escape(path))}" for path in worst) + more
