"""torch's modules, optimizers, schedulers and generators: the tensors and numbers that make their state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from pytest_repro.frameworks.base_values import Branch, Handler


def capture_module(module: torch.nn.Module) -> Branch:
    """Capture parameters, buffers and extra state by the names of the state dict.

    Notes
    -----
    Buffers that are not saved belong too: the next forward pass reads them. The mode (`training`), hooks and
    hyperparameters do not: a model trained and a model loaded from its checkpoint hold the same weights.
    """
    return Branch(type(module).__name__, list(_iterate_state(module)), named=True)


def _iterate_state(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    # Duplicates stay: tied weights are told under both names, so that untying them shows.
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)
    for name, part in module.named_modules(remove_duplicate=False):
        if type(part).get_extra_state is not torch.nn.Module.get_extra_state:
            yield f"{name}._extra_state".removeprefix("."), part.get_extra_state()


def capture_state_dict(value: Any) -> Branch:
    """Capture an optimizer, a scheduler or a gradient scaler by its state dict."""
    state = value.state_dict()
    return Branch(type(value).__name__, [(str(name), part) for name, part in state.items()])


def capture_generator(value: torch.Generator) -> Branch:
    """Capture a generator by its state."""
    return Branch("Generator", [("state", value.get_state())], (("device", str(value.device)),))


OBJECT_HANDLERS: dict[type, Handler] = {
    torch.nn.Module: capture_module,
    torch.optim.Optimizer: capture_state_dict,
    torch.optim.lr_scheduler.LRScheduler: capture_state_dict,
    torch.amp.GradScaler: capture_state_dict,
}
OBJECT_EXTRAS: dict[type, Handler] = {torch.Generator: capture_generator}
