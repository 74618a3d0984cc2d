"""torchmetrics' metrics and Lightning's modules, which depends on it: weights, accumulated state, hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torchmetrics

from pytest_repro.frameworks.base_values import Branch, Handler, NotComparableError
from pytest_repro.frameworks.torch_values import capture_module


def capture_metric(metric: Any) -> Branch:
    """Capture a metric or a collection by its parameters and by all that it has accumulated."""
    branch = capture_module(metric)
    branch.children = [*branch.children, *iterate_metrics(metric)]
    return branch


def iterate_metrics(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the state of each metric in a module. It is in no parameter, and in no buffer unless it is to be saved."""
    for name, part in module.named_modules(remove_duplicate=False):
        if isinstance(part, torchmetrics.Metric):
            for state, value in part.metric_state.items():
                yield f"{name}.{state}".removeprefix("."), value
            yield f"{name}.update_count".removeprefix("."), part.update_count


def capture_lightning(module: Any) -> Branch:
    """Capture a module of Lightning by its weights, the state of its metrics, and the hyperparameters that it saves."""
    branch = capture_module(module)
    hyperparameters = dict(module.hparams)
    extra = [("hparams", hyperparameters)] if hyperparameters else []
    branch.children = [*branch.children, *iterate_metrics(module), *extra]
    return branch


def refuse_trainer(trainer: Any) -> Branch:
    """Reject a trainer of Lightning."""
    raise NotComparableError(
        "a trainer holds loops, loggers and files; return the trained module and dict(trainer.callback_metrics)"
    )


HANDLERS: dict[type, Handler] = dict.fromkeys([torchmetrics.Metric, torchmetrics.MetricCollection], capture_metric)
