"""Capture of Lightning's modules and trainers, whichever of its two packages defines them."""

from __future__ import annotations

from typing import Any

from pytest_repro.frameworks.base_values import Branch, NotComparableError
from pytest_repro.frameworks.torch_values import capture_module


def capture_lightning(module: Any) -> Branch:
    """Capture a module of Lightning as one of torch, with the hyperparameters that it saves."""
    branch = capture_module(module)
    hyperparameters = dict(module.hparams)
    if hyperparameters:
        branch.children = [*branch.children, ("hparams", hyperparameters)]
    return branch


def refuse_trainer(trainer: Any) -> Branch:
    """Reject a trainer of Lightning."""
    raise NotComparableError(
        "a trainer holds loops, loggers and files; return the trained module and dict(trainer.callback_metrics)"
    )
