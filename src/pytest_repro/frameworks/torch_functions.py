"""What the equivalences ask of torch: modules that a function uses, and whether a process with torch may fork."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

#: Layers whose output in training mode depends on the whole batch, or on random numbers.
_STATISTICS = (torch.nn.modules.batchnorm._BatchNorm,)
_RANDOM = (torch.nn.modules.dropout._DropoutNd, torch.nn.RReLU)


def has_initialised_accelerator() -> bool:
    """Tell whether an accelerator's runtime is up in this process: no fork of it may use it."""
    return any(
        module.is_initialized()
        for name in ("cuda", "xpu")
        if (module := getattr(torch, name, None)) is not None and hasattr(module, "is_initialized")
    )


def import_late_parts() -> None:
    """Import what the first optimizer imports: once before forks rather than in each, at 1.2 s of CPU."""
    importlib.import_module("torch._dynamo")


def find_modules(function: Any) -> list[torch.nn.Module]:
    """Return the modules that a function is, is bound to, closes over, or names as globals; outermost first."""
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
        except ValueError:  # a name that is not bound yet
            continue
    for name in code.co_names if code is not None else ():
        yield function.__globals__.get(name)
    if code is None and hasattr(function, "__dict__"):
        yield from vars(function).values()


def describe_modules(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return of each module among some values what its weights do not show, by parameter or layer.

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


def name_training_layers(function: Any) -> tuple[list[str], list[str]]:
    """Return the layers in training mode that use the batch's statistics, and those that draw random numbers."""
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
