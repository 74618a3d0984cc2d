"""torch's generators on every device, and its settings that change results, without initialising a device."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from pytest_repro.frameworks.base_state import Flag, Request
from pytest_repro.frameworks.torch_precision_state import PRECISION, full_precision_request

#: Functions that a device registered from outside torch must have to be seeded and restored.
_NEEDED = ("_is_in_bad_fork", "is_initialized", "manual_seed_all", "get_rng_state_all", "set_rng_state_all")
#: Guards by which inference mode was restored. torch has no setter, only a guard object that undoes its change when it
#: is deleted, so the guards are kept.
_inference_guards: list[Any] = []


def seed(seed: int) -> None:
    """Seed the generators of the CPU and of every accelerator, which takes effect when the accelerator is initialised.

    Notes
    -----
    Same effect as ``torch.manual_seed``, which also queues a formatted stack trace for each device that this build
    lacks: 150 us per call from a shallow stack, more within pytest.
    """
    torch.default_generator.manual_seed(seed)
    _seed_accelerators(seed)


def save_rng() -> Any:
    """Return the states of the generators of the CPU and of the accelerators that are initialised."""
    return {
        "cpu": torch.get_rng_state(),
        "accelerators": {
            name: module.get_rng_state_all() for name, module in _accelerators() if module.is_initialized()
        },
        "mps": torch.mps.get_rng_state() if _has_mps() else None,
    }


def is_reseeded(seed: int) -> bool:
    """Return whether something else has seeded torch since it was seeded with `seed`."""
    return bool(torch.initial_seed() != seed)


def restore_rng(saved: Any) -> None:
    """Restore a state that :func:`save_rng` returned."""
    torch.set_rng_state(saved["cpu"])
    # An accelerator that was not initialised then would have started from the last torch.manual_seed.
    _seed_accelerators(torch.initial_seed(), skip=saved["accelerators"])
    for name, module in _accelerators():
        if name in saved["accelerators"]:
            module.set_rng_state_all(saved["accelerators"][name])
    if saved["mps"] is not None:
        torch.mps.set_rng_state(saved["mps"])


def _seed_accelerators(seed: int, skip: Any = ()) -> None:
    for name, module in _accelerators():
        if name not in skip and not module._is_in_bad_fork():
            module.manual_seed_all(seed)
    if _has_mps() and "mps" not in skip:
        torch.mps.manual_seed(seed)


def _accelerators() -> list[tuple[str, Any]]:
    """Return the device modules that this build of torch can use, without initialising a device."""
    found = [(name, module) for name in ("cuda", "xpu") if (module := getattr(torch, name)) and module._is_compiled()]
    other = torch._C._get_privateuse1_backend_name()
    if all(hasattr(getattr(torch, other, None), function) for function in _NEEDED):
        found.append((other, getattr(torch, other)))
    return found


def _has_mps() -> bool:
    return bool(torch._C._has_mps and torch.backends.mps.is_available() and not torch.mps._is_in_bad_fork())


def _read_deterministic() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "off"
    return "warn_only" if torch.is_deterministic_algorithms_warn_only_enabled() else "on"


def _write_deterministic(mode: str) -> None:
    torch.use_deterministic_algorithms(mode != "off", warn_only=mode == "warn_only")


def _read_default_device() -> str | None:
    # Not torch.get_default_device, which allocates a tensor to find the index of "cuda" and so initialises CUDA.
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else str(context.device)


def _write_inference_mode(mode: bool) -> None:
    guard = torch._C._InferenceMode(mode)
    guard.__enter__()
    _inference_guards.append(guard)


def _write_anomaly_detection(saved: dict[str, bool]) -> None:
    # A context manager that takes effect when it is created. It is never exited, which would undo it.
    torch.autograd.set_detect_anomaly(saved["enabled"], saved["check_nan"])


def _flushes_denormals() -> bool:
    # torch has no getter, but the processor flushes half of the smallest normal float to zero.
    return sys.float_info.min / 2 == 0.0


def _flag(name: str, owner: Any, attribute: str) -> Flag:
    return Flag(f"torch.{name}", lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value))


def _reduction_flag(dtype: str) -> Flag:
    """Return the flag of a reduction's precision, which is a pair since 2.10, the second value for split-k."""
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
    """Return the flag of a setting that chooses among kernels with different rounding, or None if torch lacks it."""
    read, write = (getattr(torch._C, f"_{verb}_{end}", None) for verb, end in (("get", name), ("set", _setter(name))))
    return None if read is None or write is None else Flag(f"torch.{name}", read, write)


def _setter(name: str) -> str:
    """Return the name of a setter, which differs from the getter's for scaled dot products."""
    kind = name.removesuffix("_sdp_enabled")
    return name if kind == name else f"sdp_use_{kind}"


#: Settings that enable kernels for the CPU and for scaled dot products.
KERNELS = tuple(
    switch
    for switch in map(
        _switch,
        ("mkldnn_enabled", "nnpack_enabled", *(f"{kind}_sdp_enabled" for kind in ("flash", "math", "cudnn"))),
    )
    if switch is not None
)
#: Settings that not every torch release has.
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
    Flag("torch.flush_denormal", _flushes_denormals, torch.set_flush_denormal),
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
        f"CUDA is already initialised, and cuBLAS may have read it; set {_WORKSPACE}=:4096:8 in the environment, "
        "or call deterministic() before the first CUDA operation"
    )


def _is_reduction_off(value: bool | tuple[bool, bool]) -> bool:
    return (value[0] if isinstance(value, tuple) else value) is False


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request deterministic algorithms, and float32 computed in full precision."""
    return [
        Request(WORKSPACE, ":4096:8", accepts=_DETERMINISTIC_WORKSPACES.__contains__, obstacle=_workspace_obstacle),
        Request(DETERMINISTIC, "warn_only" if warn_only else "on"),
        Request(FILL, fill_uninitialized),
        Request(CUDNN_DETERMINISTIC, True),
        Request(CUDNN_BENCHMARK, False),
        full_precision_request(),
        *(Request(flag, False, accepts=_is_reduction_off) for flag in REDUCTIONS),
        *(Request(flag, flag.name.endswith("deterministic")) for flag in OPTIONAL),
    ]
