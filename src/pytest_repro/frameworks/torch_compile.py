"""A torch function or module computed by torch.compile, torch.export and, from its export, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_repro.frameworks import torch_onnx


def compile_and_run(func: Callable[..., Any], inputs: Sequence[Any], backend: str) -> Any:
    """Return what `func` gives through torch.compile, compiled anew."""
    torch._dynamo.reset()
    compiled = torch.compile(func, backend=backend) if backend else torch.compile(func)
    return compiled(*inputs)


def export_and_run(func: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """Return what a module gives through torch.export."""
    return torch.export.export(torch_onnx.as_module(func, "torch.export"), tuple(inputs)).module()(*inputs)


def run_in_onnxruntime(func: Callable[..., Any], inputs: Sequence[Any], folder: Path) -> Any:
    """Return what a module gives through an ONNX file and ONNX Runtime on the CPU, as tensors in the eager structure.

    Raises
    ------
    MissingExtraError
        If onnx, onnxscript or onnxruntime is not installed.
    """
    module = torch_onnx.as_module(func, "onnxruntime")
    torch_onnx.require_onnx()
    path = folder / "model.onnx"
    torch_onnx.export(module, inputs, path)
    return torch_onnx.OnnxModel(path, torch_onnx.compute(module, inputs))(*inputs)


def holds_tensors(values: Sequence[Any]) -> bool:
    """Tell whether a tensor is among the values."""
    return any(isinstance(value, torch.Tensor) for value in values)
