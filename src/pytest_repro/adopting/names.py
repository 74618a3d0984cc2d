"""Names in a module's source: which function of which package a call calls, as far as the imports of the file tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: Parents of each node of a tree, which `ast` does not keep.
Parents = dict[ast.AST, ast.AST]


def find_parents(tree: ast.AST) -> Parents:
    """Return the parent of each node."""
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def find_aliases(tree: ast.AST) -> dict[str, str]:
    """Return what each imported name stands for: ``{"np": "numpy", "default_rng": "numpy.random.default_rng"}``.

    A name that the file also binds in another way is left out, since it may stand for that.
    """
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                aliases[each.asname or each.name.partition(".")[0]] = (
                    each.name if each.asname else each.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                aliases[each.asname or each.name] = f"{node.module}.{each.name}"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            aliases.pop(node.name, None)
        elif isinstance(node, ast.arg):
            aliases.pop(node.arg, None)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            aliases.pop(node.id, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target, module = node.targets[0], next(iter(node.value.args), None)
            is_import = dotted_name(node.value.func) == "pytest.importorskip" and isinstance(module, ast.Constant)
            if is_import and isinstance(target, ast.Name):
                aliases[target.id] = str(getattr(module, "value", ""))
    return aliases


def dotted_name(node: ast.AST) -> str:
    """Return ``a.b.c`` for such an expression, or an empty text."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def full_name(node: ast.AST, aliases: dict[str, str]) -> str:
    """Return the full name of what an expression refers to, or an empty text if no import of the file leads there."""
    first, _, rest = dotted_name(node).partition(".")
    if first not in aliases:
        return ""
    return f"{aliases[first]}.{rest}" if rest else aliases[first]


def ancestors(node: ast.AST, parents: Parents) -> Iterator[ast.AST]:
    """Yield the parent of a node, and so on up to the module."""
    while node in parents:
        node = parents[node]
        yield node


def enclosing_function(node: ast.AST, parents: Parents) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Return the function in whose body a node is executed; a default or a decorator belongs to the outer one."""
    child = node
    for parent in ancestors(node, parents):
        if isinstance(parent, ast.Lambda) and child is parent.body:
            return parent
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)) and child in parent.body:
            return parent
        child = parent
    return None


def is_executed_at_import(node: ast.AST, parents: Parents) -> bool:
    """Return whether a node is executed when its module is imported, and not only when it is run as a script."""
    if enclosing_function(node, parents) is not None:
        return False
    return not any(isinstance(each, ast.If) and "__main__" in ast.dump(each.test) for each in ancestors(node, parents))


def argument(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """Return an argument of a call by its name or position, or None."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if position is not None and position < len(call.args):
        return call.args[position]
    return None


def is_none(node: ast.expr | None) -> bool:
    """Return whether an argument is missing, or written as None."""
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def hides_arguments(call: ast.Call) -> bool:
    """Return whether ``*args`` or ``**kwargs`` may give any argument."""
    return any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords)
