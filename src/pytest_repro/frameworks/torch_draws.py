"""Calls in torch modules that draw random numbers whatever the mode of the module is, by their source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

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


class Draw(NamedTuple):
    """A call that draws: the function's name, and the place as text."""

    name: str
    place: str


def find_draws(model: Any, is_user_file: Callable[[str], bool]) -> list[Draw]:
    """Return the calls that draw in methods of the user's own modules in a model.

    Parameters
    ----------
    model : torch.nn.Module
    is_user_file : callable (file) -> bool
    """
    found: dict[Draw, None] = {}
    for kind in dict.fromkeys(type(module) for module, _ in zip(model.modules(), range(_MAX_MODULES), strict=False)):
        for name, function in vars(kind).items():
            if name not in _MAKING and inspect.isfunction(function) and is_user_file(function.__code__.co_filename):
                with suppress(OSError, SyntaxError):  # no source, or only a part of a statement
                    found.update(dict.fromkeys(_find_calls(function, f"{kind.__name__}.{name}")))
    return list(found)


def _find_calls(function: Any, owner: str) -> list[Draw]:
    function = inspect.unwrap(function)
    file, first = function.__code__.co_filename, function.__code__.co_firstlineno
    if DRAWING.isdisjoint(function.__code__.co_names):
        return []
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _draws(node)]
    return [
        Draw(
            ast.unparse(call.func),
            f"{Path(file).name}:{first + call.lineno - 1} in {ast.unparse(call.func)} of {owner}",
        )
        for call in calls
    ]


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
