"""A torch function or module computed by torch.compile, torch.export and, from its export, by ONNX Runtime."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_repro.errors import MissingExtraError, UsageError


def compile_and_run(func: Callable[..., Any], inputs: Sequence[Any], backend: str) -> Any:
    """Return what `func` gives through torch.compile, compiled anew."""
    torch._dynamo.reset()
    compiled = torch.compile(func, backend=backend) if backend else torch.compile(func)
    return compiled(*inputs)


def export_and_run(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return what a module gives through torch.export."""
    return torch.export.export(as_module(func, "torch.export"), tuple(inputs)).module()(*inputs)


def as_module(func: Any, backend: str) -> torch.nn.Module:
    """Return the module, or raise UsageError for anything else."""
    if not isinstance(func, torch.nn.Module):
        raise UsageError(f"{backend} takes a torch.nn.Module, got {type(func).__name__}; wrap it into a module")
    return func


def run_in_onnxruntime(func: Callable[..., Any], inputs: Sequence[Any], folder: Path) -> Any:
    """Return what a module gives through an ONNX file and ONNX Runtime on the CPU, as tensors in the eager structure.

    Raises
    ------
    MissingExtraError
        If onnx, onnxscript or onnxruntime is not installed.
    """
    module = as_module(func, "onnxruntime")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(f"ONNX needs {package}: pip install 'pytest-repro[onnx]'") from error
    runtime = importlib.import_module("onnxruntime")
    path = folder / "model.onnx"
    torch.onnx.export(module, tuple(inputs), str(path), dynamo=True, verbose=False)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    given = [tensor.detach().cpu().numpy() for tensor in inputs if isinstance(tensor, torch.Tensor)]
    if len(names) != len(given):
        raise UsageError(f"the ONNX model has the inputs {names}, but {len(given)} tensors were given; give only these")
    outputs = [torch.from_numpy(array) for array in session.run(None, dict(zip(names, given, strict=True)))]
    with torch.no_grad():
        structure = torch.utils._pytree.tree_structure(module(*inputs))
    if structure.num_leaves != len(outputs):
        raise UsageError(f"the ONNX model has {len(outputs)} outputs, the module {structure.num_leaves}")
    return torch.utils._pytree.tree_unflatten(outputs, structure)


def holds_tensors(values: Sequence[Any]) -> bool:
    """Tell whether a tensor is among the values."""
    return any(isinstance(value, torch.Tensor) for value in values)
