"""Choice of tolerances from a float64 reference run, for each artifact and up to a training step."""

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
from pytest_repro.numerics.arrays import error_rms

#: Largest usable error of the baseline against float64, relative to the value's scale. With a larger one, a training
#: has left the path of the exact training, and a multiple of the error would allow anything. Weights drift by 1e-7 in
#: 100 steps of float32, and by 4e-3 to 0.16 in 1,000.
MAX_NOISE = 0.01
#: The same in unit roundoffs, if that is more: in bfloat16 the very first result may have an error of 1 %.
MAX_NOISE_ROUNDOFFS = 16
_STEP = re.compile(r"step/(\d+)/")


@dataclass(frozen=True, slots=True)
class ReferenceRules:
    """Tolerances chosen for a comparison with a reference.

    Attributes
    ----------
    policy : TolerancePolicy
    unjudged : frozenset of str
        Artifacts that the reference cannot judge and that have no bound. Only equal bits pass.
    reason : str
        The reason why they cannot be judged.
    skipped : frozenset of str
        Values of later training steps, which are not compared.
    notes : tuple of str
    """

    policy: TolerancePolicy
    unjudged: frozenset[str] = frozenset()
    reason: str = ""
    skipped: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def choose_rules(baseline: Artifacts, reference: Artifacts | None, requested: TolerancePolicy) -> ReferenceRules:
    """Choose the tolerance of each artifact.

    Parameters
    ----------
    baseline : Artifacts
    reference : Artifacts or None
        Artifacts of the baseline's computation in float64.
    requested : TolerancePolicy
        Bounds by glob. The bounds of ``*`` apply to artifacts that no reference can judge.

    Returns
    -------
    ReferenceRules
    """
    explicit = tuple(rule for rule in requested.rules if rule[0] != "*")
    fallback = next((tolerance for pattern, tolerance in requested.rules if pattern == "*"), None)
    own = TolerancePolicy(explicit) if explicit else None
    floats = [
        path
        for path in baseline.names
        if unit_roundoff_of(baseline.leaves[path].dtype) is not None and (own is None or not own.covers(path))
    ]
    unusable = _why_unusable(floats, baseline, reference)
    if unusable or reference is None:
        rest = Tolerance() if fallback is None else fallback
        reason = f"no float64 reference: {unusable}"
        return ReferenceRules(
            TolerancePolicy((*explicit, ("*", rest))),
            frozenset(floats if fallback is None else ()),
            reason,
            notes=(reason if fallback is None else f"{reason}; judged by the bounds given, {rest.describe()}",),
        )
    noise = {path: _measure_noise(baseline.leaves[path], reference.leaves[path]) for path in floats}
    noisy = [path for path in floats if noise[path] > _max_noise(baseline.leaves[path])]
    skipped, notes = _cut_steps(floats, noisy, noise)
    if floats and skipped >= set(floats):
        skipped, notes = frozenset(), []  # otherwise nothing would be compared at all
    beyond = [path for path in noisy if path not in skipped]
    placed = [(glob.escape(path), Tolerance() if fallback is None else fallback) for path in beyond]
    if beyond and fallback is not None:
        notes.append(f"judged by the bounds given, {fallback.describe()}: {_describe_noise(beyond, noise)}")
    auto = Tolerance.auto(reference)
    return ReferenceRules(
        TolerancePolicy((*explicit, *placed, ("*", auto))),
        frozenset(beyond if fallback is None else ()),
        f"run 1's own error against float64 is too large to derive a tolerance: {_describe_noise(beyond, noise)}. "
        "Compare the first training steps with repro.step(i, ...), and give bounds for later values: "
        'tolerance={"metrics/*": Tolerance(...)}',
        skipped,
        tuple(notes),
    )


def tolerance_of_repeats(rules: ReferenceRules, baseline: Artifacts, first: Artifacts) -> TolerancePolicy:
    """Return the tolerance between two runs on one device, which is as large as that between the devices.

    The rule itself is not used, because a run far from the reference would excuse a repeat that is as far from it.
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
    """Compare by the rules, and report whether an artifact differs that cannot be judged.

    Returns
    -------
    Comparison
        An unjudged artifact whose values differ counts as within the tolerance, and is marked as not judged.
    bool
        Whether there is such an artifact. Then the test must not be called reproducible.
    """
    left, right = without(actual, rules.skipped), without(expected, rules.skipped)
    compared = compare_artifacts(left, right, rules.policy, ignored_traits=ignored_traits)
    differences = tuple(
        dataclasses.replace(d, within=True, over=0, allowed="not judged", note=rules.reason)
        if d.artifact in rules.unjudged and not d.within and d.kind == "values"
        else d
        for d in compared.differences
    )
    is_unjudged = any(d.allowed == "not judged" for d in differences)
    return Comparison(differences, compared.artifacts, compared.elements), is_unjudged


def without(artifacts: Artifacts, skipped: frozenset[str]) -> Artifacts:
    """Return the artifacts without some of them."""
    if not skipped:
        return artifacts
    kept = {path: leaf for path, leaf in artifacts.leaves.items() if path not in skipped}
    return Artifacts(kept, artifacts.not_compared)


def _why_unusable(floats: list[str], baseline: Artifacts, reference: Artifacts | None) -> str:
    """Return the reason why a run is not the baseline's computation in float64, or "" if its results suggest it is."""
    if reference is None:
        return "there was no reference run"
    is_same = bool(floats)
    for path in floats:
        leaf, better = baseline.leaves[path], reference.leaves.get(path)
        name = repr(shorten(escape(path)))
        if better is None or better.form == "node":
            return f"the reference run produced no {name}"
        if better.shape != leaf.shape:
            return f"{name} has shape {better.shape} in the reference run, but {leaf.shape} in run 1"
        if leaf.dtype == "float64":
            return f"run 1 already computes {name} in float64; a reference would have to be more precise"
        if better.dtype not in ("float64", "float"):
            return f"{name} is {better.dtype} in the reference run too; place models and data with repro.place(...)"
        is_same = is_same and error_rms(data_of(leaf), data_of(better), dtype=dtype_of(leaf)).rms == 0
    if is_same:
        return "the reference run produced the same numbers as run 1; place models and data with repro.place(...)"
    return ""


def _measure_noise(leaf: Leaf, reference: Leaf) -> float:
    """Return the baseline's error relative to the scale of the value, NaN if either is not finite."""
    figures = error_rms(data_of(leaf), data_of(reference), dtype=dtype_of(leaf))
    if not figures.scale:
        return float("inf") if figures.rms else 0.0
    return figures.rms / figures.scale


def _max_noise(leaf: Leaf) -> float:
    return max(MAX_NOISE, MAX_NOISE_ROUNDOFFS * (unit_roundoff_of(leaf.dtype) or 0.0))


def _cut_steps(floats: list[str], noisy: list[str], noise: dict[str, float]) -> tuple[frozenset[str], list[str]]:
    """Return the values from the first step on whose noise is too large, and a note about it."""
    steps = {path: int(match[1]) for path in floats if (match := _STEP.match(path))}
    if not steps:
        return frozenset(), []
    first = min((steps[path] for path in noisy if path in steps), default=None)
    if first is None:
        return frozenset(), [f"steps are compared numerically up to the last step, {max(steps.values())}"]
    at_first = [path for path in noisy if steps.get(path) == first]
    note = (
        f"steps are compared numerically before step {first}: at step {first} run 1's own error against float64 is "
        f"{_describe_noise(at_first, noise)}; later steps are not compared"
    )
    return frozenset(path for path, step in steps.items() if step >= first), [note]


def _describe_noise(paths: list[str], noise: dict[str, float]) -> str:
    worst = sorted(paths, key=lambda path: -noise[path])[:3]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(f"{100 * noise[path]:.2g} % of {shorten(escape(path))}" for path in worst) + more
