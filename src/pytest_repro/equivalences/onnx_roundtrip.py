"""A torch module through an ONNX file: its weights bit for bit, and what ONNX Runtime computes with them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.equivalences.findings import Deviation, Explanation, Trial
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance
from pytest_repro.errors import MissingExtraError, UsageError
from pytest_repro.model import Tolerance, TolerancePolicy

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
    """Export a module, read the file back, compute with it, and return that against the module itself.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : tensor, or tuple of tensors
        What the module is called with.
    path : Path
        In an empty folder.
    save : callable (module, path), optional
        Writes the file, in place of torch's exporter with folding switched off.
    predict : callable (module) -> tree, optional
    policy : TolerancePolicy
        What may differ; weights may not, unless a glob of it names them.
    state : State
        Of the generators before each computation.

    Returns
    -------
    Trial
    list of str
        What its reader must know.
    """
    tools = _load_tools()
    tools.as_module(module, ONNX)
    tools.require_onnx()
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if inputs is None or not given:
        raise UsageError(
            "assert_roundtrip: 'onnx' needs inputs= to export with: the tensor or tuple of tensors that it takes"
        )
    # Before anything is computed: in training mode that moves BatchNorm's statistics.
    weights = tools.copy_state(module)
    if save is None:
        tools.export(module, given, path, optimize=False)
    else:
        save(module, path)
        if not path.is_file():
            raise UsageError(
                f"assert_roundtrip: save() wrote no file {path.name!r}: it is given the path of an ONNX file"
            )
    held = tools.read_state(path, module)
    notes = ["computed by ONNX Runtime on the CPU, for these inputs only"]
    absent = [name for name in weights if name not in held]
    unused = tools.find_unused(module, given) if absent else set()
    if left_out := [name for name in absent if name in unused]:
        notes.append(f"not compared, since computing from these inputs reads none of it: {', '.join(left_out)}")
    expected = capture_tree(
        {name: weight for name, weight in weights.items() if name not in left_out}, root=INITIALIZERS, top_level=False
    )
    actual = capture_tree(held, root=INITIALIZERS, top_level=False)
    compute = predict if predict is not None else lambda each: tools.compute(each, given)
    seeding.restore_state(state)
    eager = tools.compute(module, given)
    for artifacts, each in ((expected, module), (actual, tools.OnnxModel(path, eager))):
        seeding.restore_state(state)
        merge(artifacts, capture_tree(compute(each), root=PREDICTIONS, top_level=False), where="the predictions")
    exact = [(f"{INITIALIZERS}/*", Tolerance())] if len(weights) > len(left_out) or held else []
    own = [rule for rule in policy.rules if rule[0] != "*"]
    rest = [rule for rule in policy.rules if rule[0] == "*"]
    return Trial("exported to ONNX", actual, expected=expected, policy=TolerancePolicy((*own, *exact, *rest))), notes


def explain_onnx(shown: Deviation, module: Any) -> Explanation | None:
    """Tell a module in training mode and other kernels from weights that changed; None where weights did."""
    from pytest_repro.frameworks.torch_functions import name_training_layers

    distance = f"{shown.varied}: {tell_distance(shown.comparison)}"
    statistics, random = name_training_layers(module)
    if statistics or random:
        return Explanation(
            "roundtrip.training: the module was exported in training mode, which a file does not compute alike",
            (f"in training mode: {', '.join([*statistics, *random])}", distance),
            "model.eval() before exporting",
        )
    if any(d.artifact.startswith(f"{INITIALIZERS}/") for d in shown.comparison.divergences):
        return None
    if is_rounding(shown.comparison):
        return Explanation(
            "roundtrip.kernels: the weights are the same, and ONNX Runtime's kernels round differently",
            (distance,),
            "allow it for what is computed (norm=1e-6 for float32); the weights must agree to the bit all the same",
        )
    return Explanation(
        "roundtrip.computation: the weights are the same, and the file computes something else with them",
        (distance,),
        "look for branches on values and Python state (traced once, then fixed), and for random numbers",
    )


def _load_tools() -> Any:
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "assert_roundtrip: 'onnx' exports a torch module: pip install 'pytest-repro[torch,onnx]'"
        )
    from pytest_repro.frameworks import torch_compile

    return torch_compile
