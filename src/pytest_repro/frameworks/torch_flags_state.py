"""torch's settings that change results: read without initialising a device, put back, and set for determinism."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from pytest_repro.frameworks.base_state import Flag, Request
from pytest_repro.frameworks.torch_precision_state import PRECISION, full_precision_request

#: Guards by which inference mode was put back: torch has no setter, only a context that ends with its object, and
#: a guard that ends would bring the mode back that it had found.
_inference_guards: list[Any] = []


def _read_deterministic() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "off"
    return "warn_only" if torch.is_deterministic_algorithms_warn_only_enabled() else "on"


def _write_deterministic(mode: str) -> None:
    torch.use_deterministic_algorithms(mode != "off", warn_only=mode == "warn_only")


def _read_default_device() -> str | None:
    # torch.get_default_device allocates a tensor to learn the index of "cuda", which initialises CUDA.
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else str(context.device)


def _write_inference_mode(mode: bool) -> None:
    guard = torch._C._InferenceMode(mode)
    guard.__enter__()
    _inference_guards.append(guard)


def _write_anomaly_detection(saved: dict[str, bool]) -> None:
    # A context manager that switches at once; its end, which would undo it, never comes.
    torch.autograd.set_detect_anomaly(saved["enabled"], saved["check_nan"])


def _flushes_denormals() -> bool:
    # torch has no getter. The setting is the processor's, so the smallest normal float, halved, tells.
    return sys.float_info.min / 2 == 0.0


def _write_flush_denormal(mode: bool) -> None:
    torch.set_flush_denormal(mode)


def _flag(name: str, owner: Any, attribute: str) -> Flag:
    return Flag(f"torch.{name}", lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value))


def _reduction_flag(dtype: str) -> Flag:
    """Make the flag of a reduction's precision: since 2.10 a pair, the second one for split-k."""
    read = getattr(torch._C, f"_get_cublas_allow_{dtype}_reduced_precision_reduction")
    attribute = f"allow_{dtype}_reduced_precision_reduction"
    return Flag(
        f"torch.cuda_matmul_{attribute}", read, lambda value: setattr(torch.backends.cuda.matmul, attribute, value)
    )


DETERMINISTIC = Flag("torch.deterministic_algorithms", _read_deterministic, _write_deterministic)
FILL = _flag("fill_uninitialized_memory", torch.utils.deterministic, "fill_uninitialized_memory")
CUDNN_DETERMINISTIC = _flag("cudnn_deterministic", torch.backends.cudnn, "deterministic")
CUDNN_BENCHMARK = _flag("cudnn_benchmark", torch.backends.cudnn, "benchmark")
REDUCTIONS = tuple(map(_reduction_flag, ("fp16", "bf16")))


def _switch(name: str) -> Flag | None:
    """A switch by which torch chooses among kernels that round differently, where this torch has it."""
    read, write = (getattr(torch._C, f"_{verb}_{end}", None) for verb, end in (("get", name), ("set", _setter(name))))
    return None if read is None or write is None else Flag(f"torch.{name}", read, write)


def _setter(name: str) -> str:
    """Of scaled dot products, the setter is named otherwise than the getter."""
    kind = name.removesuffix("_sdp_enabled")
    return name if kind == name else f"sdp_use_{kind}"


#: Of the kinds of kernels for the CPU, and for scaled dot products.
KERNELS = tuple(
    flag
    for name in ("mkldnn_enabled", "nnpack_enabled", *(f"{kind}_sdp_enabled" for kind in ("flash", "math", "cudnn")))
    if (flag := _switch(name)) is not None
)
#: Switches that not every torch has.
OPTIONAL = tuple(
    _flag(name, owner, attribute)
    for name, owner, attribute in (
        ("cuda_matmul_allow_fp16_accumulation", torch.backends.cuda.matmul, "allow_fp16_accumulation"),
        ("mkldnn_deterministic", torch.backends.mkldnn, "deterministic"),
    )
    if hasattr(owner, attribute)
)

FLAGS = (
    Flag("torch.default_dtype", torch.get_default_dtype, torch.set_default_dtype),
    Flag("torch.default_device", _read_default_device, torch.set_default_device),
    Flag("torch.num_threads", torch.get_num_threads, torch.set_num_threads),
    Flag("torch.grad_enabled", torch.is_grad_enabled, torch._C._set_grad_enabled),
    Flag("torch.inference_mode", torch.is_inference_mode_enabled, _write_inference_mode),
    Flag(
        "torch.anomaly_detection",
        lambda: {"enabled": torch.is_anomaly_enabled(), "check_nan": torch.is_anomaly_check_nan_enabled()},
        _write_anomaly_detection,
    ),
    Flag("torch.flush_denormal", _flushes_denormals, _write_flush_denormal),
    DETERMINISTIC,
    FILL,
    CUDNN_DETERMINISTIC,
    CUDNN_BENCHMARK,
    _flag("cudnn_enabled", torch.backends.cudnn, "enabled"),
    PRECISION,
    *REDUCTIONS,
    *KERNELS,
    *OPTIONAL,
)


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")


def _write_environ(value: str | None) -> None:
    if value is None:
        os.environ.pop(_WORKSPACE, None)
    else:
        os.environ[_WORKSPACE] = value


WORKSPACE = Flag(f"environ.{_WORKSPACE}", lambda: os.environ.get(_WORKSPACE), _write_environ)


def _workspace_obstacle() -> str:
    if os.environ.get(_WORKSPACE) in _DETERMINISTIC_WORKSPACES or not torch.cuda.is_initialized():
        return ""
    return (
        f"CUDA was initialised before, and cuBLAS may have read it; set {_WORKSPACE}=:4096:8 in the environment, "
        "or call deterministic() before the first CUDA operation"
    )


def _is_reduction_off(value: bool | tuple[bool, bool]) -> bool:
    return (value[0] if isinstance(value, tuple) else value) is False


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Return what makes torch repeat itself, and compute float32 in float32."""
    return [
        # Before the rest: nothing below initialises CUDA, but what the user does next may.
        Request(WORKSPACE, ":4096:8", accepts=_DETERMINISTIC_WORKSPACES.__contains__, obstacle=_workspace_obstacle),
        Request(DETERMINISTIC, "warn_only" if warn_only else "on"),
        Request(FILL, fill_uninitialized),
        Request(CUDNN_DETERMINISTIC, True),
        Request(CUDNN_BENCHMARK, False),
        full_precision_request(),
        *(Request(flag, False, accepts=_is_reduction_off) for flag in REDUCTIONS),
        *(Request(flag, flag.name.endswith("deterministic")) for flag in OPTIONAL),
    ]
