"""A torch module as an ONNX file: exported, read back, and computed by ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_repro.errors import MissingExtraError, UsageError


def as_module(func: Any, backend: str) -> torch.nn.Module:
    """Return the module, or raise UsageError for anything else."""
    if not isinstance(func, torch.nn.Module):
        raise UsageError(f"{backend} takes a torch.nn.Module, got {type(func).__name__}; wrap it into a module")
    return func


def require_onnx() -> None:
    """Raise MissingExtraError if onnx, onnxscript or onnxruntime is not installed."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(f"ONNX needs {package}: pip install 'pytest-repro[onnx]'") from error


def export(module: torch.nn.Module, inputs: Sequence[Any], path: Path, *, optimize: bool = True) -> None:
    """Write a module to an ONNX file.

    Parameters
    ----------
    optimize : bool
        Whether torch may fold layers into each other, which changes weights on purpose.
    """
    torch.onnx.export(module, tuple(inputs), str(path), dynamo=True, verbose=False, optimize=optimize)


class OnnxModel:
    """An ONNX file as a function of tensors, which returns them in the structure of the module that it came from.

    Parameters
    ----------
    path : Path
    structure : object
        The module's outputs, whose leaves the file's replace.
    """

    def __init__(self, path: Path, structure: Any) -> None:
        runtime = importlib.import_module("onnxruntime")
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._structure = torch.utils._pytree.tree_structure(structure)

    def __call__(self, *inputs: Any) -> Any:
        """Compute by ONNX Runtime.

        Raises
        ------
        UsageError
            If the file has other inputs or outputs than the module.
        """
        names = [entry.name for entry in self._session.get_inputs()]
        given = [tensor.detach().cpu().numpy() for tensor in inputs if isinstance(tensor, torch.Tensor)]
        if len(names) != len(given):
            raise UsageError(
                f"the ONNX model has the inputs {names}, but {len(given)} tensors were given; give only these"
            )
        outputs = [torch.from_numpy(array) for array in self._session.run(None, dict(zip(names, given, strict=True)))]
        if self._structure.num_leaves != len(outputs):
            raise UsageError(f"the ONNX model has {len(outputs)} outputs, the module {self._structure.num_leaves}")
        return torch.utils._pytree.tree_unflatten(outputs, self._structure)


def compute(func: Any, inputs: Sequence[Any]) -> Any:
    """Return what a module gives eagerly, without gradients."""
    with torch.no_grad():
        return func(*inputs)


def copy_state(module: torch.nn.Module) -> dict[str, Any]:
    """Copy parameters and buffers, those that are not saved and the further names of shared ones too."""
    return {name: tensor.detach().cpu().clone() for name, tensor in _named_tensors(module).items()}


def read_state(path: Path, module: torch.nn.Module) -> dict[str, Any]:
    """Return what the file holds under the names of a module's parameters and buffers.

    A tensor that the module knows under several names stands in the file under one of them.
    """
    onnx = importlib.import_module("onnx")
    numpy_helper = importlib.import_module("onnx.numpy_helper")
    model = onnx.load(str(path))
    held = {entry.name: numpy_helper.to_array(entry, str(path.parent)) for entry in model.graph.initializer}
    named = _named_tensors(module)
    found = {}
    for name, tensor in named.items():
        others = (other for other, shared in named.items() if shared is tensor and other in held)
        at = name if name in held else next(others, None)
        if at is not None:
            found[name] = _as_tensor(held[at])
    return found


def find_unused(module: torch.nn.Module, inputs: Sequence[Any]) -> set[str]:
    """Return the names of parameters and buffers that computing from these inputs does not read."""
    program = torch.export.export(module, tuple(inputs))
    signature = program.graph_signature
    kinds = (signature.inputs_to_parameters, signature.inputs_to_buffers)
    targets = {place: name for kind in kinds for place, name in kind.items()}
    read = {targets[node.name] for node in program.graph.nodes if node.name in targets and node.users}
    named = _named_tensors(module)
    return {name for name, tensor in named.items() if not any(named[other] is tensor for other in read)}


def _named_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _as_tensor(array: Any) -> Any:
    """Return an array as a tensor of the same bits; as it is where torch has no such dtype."""
    if array.dtype.type.__module__ == "numpy":
        return torch.from_numpy(array.copy())
    dtype = getattr(torch, array.dtype.name, None)
    if dtype is None:
        return array
    return torch.from_numpy(array.view(f"u{array.dtype.itemsize}").copy()).view(dtype)
