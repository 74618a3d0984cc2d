"""Evaluation of torch functions by torch.compile, torch.export and ONNX Runtime, and reading of ONNX files."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_repro.errors import MissingExtraError, UsageError


def compile_and_run(func: Callable[..., Any], inputs: Sequence[Any], backend: str, *, eager_draws: bool = False) -> Any:
    """Return the result of `func` compiled by torch.compile, without reusing compiled code.

    `eager_draws` lets compiled code draw the random numbers of eager mode.
    """
    torch._dynamo.reset()
    compiled = torch.compile(func, backend=backend) if backend else torch.compile(func)
    if not eager_draws:
        return compiled(*inputs)
    config = importlib.import_module("torch._inductor.config")
    with config.patch(fallback_random=True):
        return compiled(*inputs)


def export_and_run(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return the result of a module exported by torch.export."""
    return torch.export.export(as_module(func, "torch.export"), tuple(inputs)).module()(*inputs)


def run_in_onnxruntime(func: Callable[..., Any], inputs: Sequence[Any], folder: Path) -> Any:
    """Return the result of a module exported to ONNX and computed by ONNX Runtime on the CPU.

    The result has the structure of the module's own, with tensors as leaves.

    Raises
    ------
    MissingExtraError
        If onnx, onnxscript or onnxruntime is not installed.
    """
    module = as_module(func, "onnxruntime")
    require_onnx()
    path = folder / "model.onnx"
    export(module, inputs, path)
    return OnnxModel(path, compute(module, inputs))(*inputs)


def holds_tensors(values: Sequence[Any]) -> bool:
    """Return whether a tensor is among the values."""
    return any(isinstance(value, torch.Tensor) for value in values)


def as_module(func: Any, backend: str) -> torch.nn.Module:
    """Return the module, or raise UsageError for anything else."""
    if not isinstance(func, torch.nn.Module):
        raise UsageError(f"{backend} needs a torch.nn.Module, got {type(func).__name__}; wrap it in a module")
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
        Whether torch may fold layers into each other, which changes weights intentionally.
    """
    torch.onnx.export(module, tuple(inputs), str(path), dynamo=True, verbose=False, optimize=optimize)


class OnnxModel:
    """ONNX file as a function of tensors that returns outputs in the structure of the exported module.

    Parameters
    ----------
    path : Path
    structure : object
        Outputs of the module, whose leaves are replaced by the outputs of the file.
    """

    def __init__(self, path: Path, structure: Any) -> None:
        runtime = importlib.import_module("onnxruntime")
        self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._structure = torch.utils._pytree.tree_structure(structure)

    def __call__(self, *inputs: Any) -> Any:
        """Compute the outputs with ONNX Runtime.

        Raises
        ------
        UsageError
            If the numbers of inputs or outputs of the file and the module differ.
        """
        names = [entry.name for entry in self._session.get_inputs()]
        given = [tensor.detach().cpu().numpy() for tensor in inputs if isinstance(tensor, torch.Tensor)]
        if len(names) != len(given):
            raise UsageError(f"the ONNX model has the inputs {names}, but {len(given)} tensors were passed")
        outputs = [torch.from_numpy(array) for array in self._session.run(None, dict(zip(names, given, strict=True)))]
        if self._structure.num_leaves != len(outputs):
            raise UsageError(f"the ONNX model has {len(outputs)} outputs, the module {self._structure.num_leaves}")
        return torch.utils._pytree.tree_unflatten(outputs, self._structure)


def compute(func: Any, inputs: Sequence[Any]) -> Any:
    """Return the result of a module evaluated eagerly, without gradients."""
    with torch.no_grad():
        return func(*inputs)


def copy_state(module: torch.nn.Module) -> dict[str, Any]:
    """Copy parameters and buffers, including non-persistent ones and all names of shared ones."""
    return {name: tensor.detach().cpu().clone() for name, tensor in _named_tensors(module).items()}


def read_state(path: Path, module: torch.nn.Module) -> dict[str, Any]:
    """Return the tensors of the file by the names of a module's parameters and buffers.

    A tensor that has several names in the module has one of them in the file.
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
    """Return the names of parameters and buffers that are not used when computing from these inputs."""
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
    """Return an array as a tensor of the same bits, or unchanged if torch has no such dtype."""
    if array.dtype.type.__module__ == "numpy":
        return torch.from_numpy(array.copy())
    dtype = getattr(torch, array.dtype.name, None)
    if dtype is None:
        return array
    return torch.from_numpy(array.view(f"u{array.dtype.itemsize}").copy()).view(dtype)
