"""Names in syntax trees: chains of a variable with what follows it, targets, parameters, called functions.

A chain is a variable with the attributes and constant keys that follow it: ``("self", "w")`` for ``self.w``,
``("state", "['n']")`` for ``state["n"]``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Chain = tuple[str, ...]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def parameters_of(function: FunctionNode, *, with_starred: bool = True) -> list[str]:
    """Return the names of the parameters."""
    starred = [a.arg for a in (function.args.vararg, function.args.kwarg) if a is not None]
    return [name for name in argument_names(function.args) if with_starred or name not in starred]


def parse_chain(node: ast.expr) -> tuple[Chain, list[ast.expr]]:
    """Return the chain of an expression, and other expressions that it evaluates.

    The chain ends before the first key that is not constant. It is empty if the expression does not begin with a name.
    """
    at, names, rest = split_chain(node)
    if isinstance(at, ast.Name):
        return (at.id, *names), rest
    return (), [*rest, at]


def split_chain(node: ast.expr) -> tuple[ast.expr, list[str], list[ast.expr]]:
    """Split an expression into what it begins with, its attributes and constant keys, and its other keys."""
    names: list[str] = []
    rest: list[ast.expr] = []
    at: ast.expr = node
    while True:
        if isinstance(at, ast.Attribute):
            names.insert(0, at.attr)
            at = at.value
        elif isinstance(at, ast.Subscript):
            if isinstance(at.slice, ast.Constant) and isinstance(at.slice.value, (str, int)):
                names.insert(0, f"[{at.slice.value!r}]")
            else:
                rest.append(at.slice)
                names.clear()
            at = at.value
        elif isinstance(at, ast.Starred):
            at = at.value
        else:
            return at, names, rest


def targets_of(target: ast.expr) -> tuple[tuple[Chain, ...], list[ast.expr]]:
    """Return the chains that a target binds, and other expressions that it evaluates."""
    if isinstance(target, (ast.Tuple, ast.List)):
        found = [targets_of(part) for part in target.elts]
        return tuple(c for chains, _ in found for c in chains), [key for _, keys in found for key in keys]
    chain, rest = parse_chain(target)
    return ((chain,) if chain else ()), rest


def name_of_called(call: ast.Call) -> str:
    """Return the name of the function or the method that is called, or ""."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def names_in(target: ast.AST) -> set[str]:
    """Return the variables that a target binds."""
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}


def argument_names(arguments: ast.arguments) -> list[str]:
    """Return the names of all parameters, those with stars first."""
    single = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *single]]


def walk_outside_lambdas(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of an expression, without those of its lambdas."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield from walk_outside_lambdas(child)
