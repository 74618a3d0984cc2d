"""Draws of torch's generator in models that are in eval, and draws and clocks that torch bakes into a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pytest_repro.frameworks.base_reached import Watching
from pytest_repro.frameworks.torch_draws import find_draws


def watched(watching: Watching) -> list[Callable[[], None]]:
    """Watch which modules a run puts in eval, and return what to call when it ends.

    A run that trains as well, by `train()` or by an optimizer, is not judged: which of its models draws is not known.
    """
    modules, optimizers = torch.nn.Module, torch.optim.Optimizer
    real_train, real_init, real_trace = modules.train, optimizers.__init__, torch.jit.trace
    in_eval: list[tuple[Any, torch.Tensor]] = []
    trains: list[bool] = []

    def train(self: Any, mode: bool = True) -> Any:
        if mode:
            trains.append(True)
        elif not in_eval:  # the whole model: its parts follow
            in_eval.append((self, torch.random.get_rng_state()))
        return real_train(self, mode)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        trains.append(True)
        real_init(self, *args, **kwargs)

    def trace(*args: Any, **kwargs: Any) -> Any:
        with watching.baked(args[0] if args else kwargs.get("func")):
            return real_trace(*args, **kwargs)

    def end() -> None:
        if in_eval and not trains and not torch.equal(in_eval[0][1], torch.random.get_rng_state()):
            model = in_eval[0][0]
            if not any(module.training for module in model.modules()):
                for draw in find_draws(model, watching.is_user_file):
                    watching.note("draws_in_eval", draw.place)

    watching.put(modules, "train", train)
    watching.put(optimizers, "__init__", init)
    watching.put(torch.jit, "trace", trace)
    return [end]
