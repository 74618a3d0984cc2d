"""A torch module exported to ONNX: its weights bit for bit, and the results that ONNX Runtime computes with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.equivalences.arguments import require_package
from pytest_repro.equivalences.experiment import Deviation, Explanation, Trial
from pytest_repro.equivalences.magnitude import is_rounding
from pytest_repro.errors import UsageError
from pytest_repro.model import Comparison, Tolerance, TolerancePolicy, Verdict

ONNX = "onnx"
INITIALIZERS = "initializers"
PREDICTIONS = "predictions"


def try_onnx(
    module: Any,
    inputs: Any,
    path: Path,
    *,
    save: Callable[[Any, Path], Any] | None,
    predict: Callable[[Any], Any] | None,
    policy: TolerancePolicy,
    state: seeding.State,
) -> tuple[Trial, list[str]]:
    """Export a module, read the file back, compute with both, and return the trial with notes for the report.

    Parameters
    ----------
    path : Path
        In an empty folder.
    save : callable (module, path), optional
        Writes the file, in place of torch's exporter with folding switched off.
    policy : TolerancePolicy
        Differences to allow. It applies to weights only if one of its globs names them.
    state : State
        States of the generators before each computation.

    Raises
    ------
    MissingExtraError
        If torch or a package of the extra ``onnx`` is not installed.
    UsageError
        If the value is not a module, inputs are missing, or `save` writes no file.
    """
    require_package("assert_roundtrip: 'onnx'", "torch", "torch,onnx")
    from pytest_repro.frameworks import torch_compile as tools

    tools.as_module(module, ONNX)
    tools.require_onnx()
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if inputs is None or not given:
        raise UsageError(
            "assert_roundtrip: 'onnx' needs inputs=, the tensor or tuple of tensors to export the module with"
        )
    # Copied before anything is computed, which changes BatchNorm's statistics in training mode.
    weights = tools.copy_state(module)
    if save is None:
        tools.export(module, given, path, optimize=False)
    else:
        save(module, path)
        if not path.is_file():
            raise UsageError(
                f"assert_roundtrip: save() wrote no file {path.name!r}; it gets the path of the ONNX file to write"
            )
    stored = tools.read_state(path, module)
    notes = ["computed by ONNX Runtime on the CPU, for these inputs only"]
    absent = [name for name in weights if name not in stored]
    unread = tools.find_unused(module, given) if absent else set()
    if skipped := [name for name in absent if name in unread]:
        notes.append(f"not compared, since the computation from these inputs does not read it: {', '.join(skipped)}")
    kept = {name: weight for name, weight in weights.items() if name not in skipped}
    expected = capture_tree(kept, root=INITIALIZERS, top_level=False)
    actual = capture_tree(stored, root=INITIALIZERS, top_level=False)
    compute = predict if predict is not None else lambda each: tools.compute(each, given)
    seeding.restore_state(state)
    eager = tools.compute(module, given)
    for artifacts, each in ((expected, module), (actual, tools.OnnxModel(path, eager))):
        seeding.restore_state(state)
        merge(artifacts, capture_tree(compute(each), root=PREDICTIONS, top_level=False), where="the predictions")
    exact = [(f"{INITIALIZERS}/*", Tolerance())] if kept or stored else []
    own = [rule for rule in policy.rules if rule[0] != "*"]
    rest = [rule for rule in policy.rules if rule[0] == "*"]
    return Trial("exported to ONNX", actual, expected=expected, policy=TolerancePolicy((*own, *exact, *rest))), notes


def explain_onnx(shown: Deviation, module: Any, in_eval: Callable[[], Comparison]) -> Explanation | None:
    """Explain a difference by training mode, kernels or the computation, or return None if weights changed.

    `in_eval` exports a copy of the module in eval mode, and compares that.
    """
    from pytest_repro.frameworks.torch_functions import name_training_layers

    statistics, random = name_training_layers(module)
    if statistics or random:
        layers = f"in training mode: {', '.join([*statistics, *random])}"
        again = in_eval()
        if again.verdict is not Verdict.DIVERGED or is_rounding(again):
            rounding = " except for rounding" if again.verdict is Verdict.DIVERGED else ""
            proof = f"exported in eval mode, the results match{rounding}"
            return Explanation.of("roundtrip.training", layers, proof, shown.describe())
    if any(d.artifact.startswith(f"{INITIALIZERS}/") for d in shown.comparison.divergences):
        return None
    return Explanation.by_magnitude([shown], rounding="roundtrip.kernels", other="roundtrip.computation")
