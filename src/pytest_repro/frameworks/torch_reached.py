"""Draws of torch's generator in models that are in eval, and draws and clocks that torch bakes into a trace."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pytest_repro.frameworks.base_reached import Watching

#: Functions that draw whether or not the module is in training.
DRAWING = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "dropout_"}
    | {"rand", "rand_like", "randn", "randn_like", "randint", "randperm", "bernoulli", "bernoulli_", "multinomial"}
    | {"normal", "normal_", "uniform_", "rrelu", "gumbel_softmax", "scaled_dot_product_attention"}
)
#: Methods that make a module, and may draw its weights.
_MAKING = ("__init__", "reset_parameters", "init_weights", "_init_weights")
#: Modules of a model that are inspected.
_MAX_MODULES = 1000


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
            for place in _find_draws(in_eval[0][0], watching.is_user_file):
                watching.note("draws_in_eval", place)

    watching.put(modules, "train", train)
    watching.put(optimizers, "__init__", init)
    watching.put(torch.jit, "trace", trace)
    return [end]


def _find_draws(model: Any, is_user_file: Callable[[str], bool]) -> list[str]:
    """Return the calls that draw in methods of the user's own modules in a model, or none if a part is in training."""
    found: dict[str, None] = {}
    for number, module in enumerate(model.modules()):
        if module.training or number >= _MAX_MODULES:
            return []
        kind = type(module)
        for name, function in vars(kind).items():
            if name not in _MAKING and inspect.isfunction(function) and is_user_file(function.__code__.co_filename):
                found.update(dict.fromkeys(f"{place} of {kind.__name__}.{name}" for place in _find_calls(function)))
    return list(found)


def _find_calls(function: Any) -> list[str]:
    function = inspect.unwrap(function)
    file, first = function.__code__.co_filename, function.__code__.co_firstlineno
    if DRAWING.isdisjoint(function.__code__.co_names):
        return []
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _draws(node)]
    return [f"{Path(file).name}:{first + call.lineno - 1} in {ast.unparse(call.func)}" for call in calls]


def _draws(call: ast.Call) -> bool:
    """Return whether a call draws whatever the mode of the module is, by its name and its arguments."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = getattr(function, "value", None)
    if name not in DRAWING or (isinstance(owner, ast.Name) and owner.id == "self"):
        return False  # a module of torch, which asks for the mode
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name == "scaled_dot_product_attention":
        return "dropout_p" in given and not isinstance(given["dropout_p"], ast.IfExp)
    mode = given.get("training", call.args[2] if "dropout" in name and len(call.args) > 2 else None)
    return mode is None or (isinstance(mode, ast.Constant) and mode.value is True)
