"""Helpers of the equivalences for torch: modules used by a function, accelerators, and the process group."""

from __future__ import annotations

import datetime
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from pytest_repro.frameworks.torch_draws import Draw, find_draws

#: Layers whose output in training mode depends on the whole batch, or on random numbers.
_STATISTICS = (torch.nn.modules.batchnorm._BatchNorm,)
_RANDOM = (torch.nn.modules.dropout._DropoutNd, torch.nn.RReLU)


def has_initialised_accelerator() -> bool:
    """Return whether an accelerator's runtime is initialised in this process, so that no fork may use it."""
    return any(
        module.is_initialized()
        for name in ("cuda", "xpu")
        if (module := getattr(torch, name, None)) is not None and hasattr(module, "is_initialized")
    )


def import_late_parts() -> None:
    """Import what the first optimizer would import (1.2 s of CPU), once before forking instead of in each fork."""
    importlib.import_module("torch._dynamo")


def find_modules(function: Any) -> list[torch.nn.Module]:
    """Return the modules that a function is, is bound to, closes over, or uses as globals, outermost first."""
    found: dict[int, torch.nn.Module] = {}
    for value in _reach(function):
        if isinstance(value, torch.nn.Module):
            found.setdefault(id(value), value)
    return list(found.values())


def _reach(function: Any) -> Iterator[Any]:
    while isinstance(function, functools.partial):
        yield from (*function.args, *function.keywords.values())
        function = function.func
    yield function
    yield getattr(function, "__self__", None)
    code = getattr(function, "__code__", None)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # the cell is empty
            continue
    for name in code.co_names if code is not None else ():
        yield function.__globals__.get(name)
    if code is None and hasattr(function, "__dict__"):
        yield from vars(function).values()


def describe_modules(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the state of each module among some values that its weights do not show, by parameter or layer.

    Returns
    -------
    dict of name -> {"mode": layer -> bool, "frozen": parameter -> bool, "gradients": parameter -> tensor or None}
    """
    return {
        name: {
            "mode": {layer or "(itself)": each.training for layer, each in module.named_modules()},
            "frozen": {parameter: not each.requires_grad for parameter, each in module.named_parameters()},
            "gradients": {parameter: each.grad for parameter, each in module.named_parameters()},
        }
        for name, module in values.items()
        if isinstance(module, torch.nn.Module)
    }


@contextmanager
def in_eval_mode(function: Any) -> Iterator[None]:
    """Put the modules that a function uses into eval mode, and restore the mode of each layer after the block."""
    layers = {layer: layer.training for module in find_modules(function) for layer in module.modules()}
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer, mode in layers.items():
            layer.training = mode


def restore_facet(facet: str, source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Give a module the training modes, frozen parameters or gradients of another one of the same structure."""
    if facet == "mode":
        for one, other in zip(source.modules(), target.modules(), strict=True):
            other.training = one.training
        return
    for given, parameter in zip(source.parameters(), target.parameters(), strict=True):
        if facet == "frozen":
            parameter.requires_grad_(given.requires_grad)
        else:
            parameter.grad = None if given.grad is None else given.grad.clone()


def fill_tensor(source: Any, target: Any) -> bool | None:
    """Copy a tensor or a generator over another one of its type, or return None for any other value.

    Returns
    -------
    bool or None
        False if their shapes, dtypes or devices differ.
    """
    if isinstance(source, torch.Generator):
        if source.device != target.device:
            return False
        target.set_state(source.get_state())
        return True
    if not isinstance(source, torch.Tensor):
        return None
    facts = [(each.shape, each.dtype, each.device, each.layout, each.stride()) for each in (source, target)]
    if facts[0] != facts[1]:
        return False
    with torch.no_grad():
        target.copy_(source)
    return True


def name_training_layers(function: Any) -> tuple[list[str], list[str]]:
    """Return the layers in training mode that use batch statistics, and those that draw random numbers."""
    statistics: list[str] = []
    random: list[str] = []
    for module in find_modules(function):
        for name, layer in module.named_modules():
            label = f"{name or 'the module'} ({type(layer).__name__})"
            without_running = isinstance(layer, _STATISTICS) and layer.running_mean is None
            if isinstance(layer, _STATISTICS) and (layer.training or without_running):
                statistics.append(label)
            if isinstance(layer, _RANDOM) and layer.training:
                random.append(label)
    return list(dict.fromkeys(statistics)), list(dict.fromkeys(random))


def find_mode_and_draws(function: Any, is_user_file: Callable[[str], bool]) -> tuple[bool, list[Draw]]:
    """Return whether a function has modules of which all are in eval, and the calls that draw nevertheless."""
    modules = find_modules(function)
    draws = [draw for module in modules for draw in find_draws(module, is_user_file)]
    is_in_eval = bool(modules) and not any(each.training for module in modules for each in module.modules())
    return is_in_eval, list(dict.fromkeys(draws))


@contextmanager
def joined_world(backend: str, timeout_s: float) -> Iterator[tuple[int, int]]:
    """Join the process group described by torchrun's environment variables, and yield the rank and number of ranks."""
    if backend == "nccl":
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout_s))
    try:
        yield dist.get_rank(), dist.get_world_size()
        dist.barrier()  # no rank may leave while another still needs its store
    finally:
        dist.destroy_process_group()
