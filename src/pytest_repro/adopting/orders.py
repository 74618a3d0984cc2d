"""Orders that nothing fixes, and times that become data, in a module's source.

A listing or a set is reported only where its order reaches a result: where it is turned into a list, or a loop over it
appends, yields or fills. ``len(os.listdir(...))`` is as good as any.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_repro.adopting.findings import Finding
from pytest_repro.adopting.names import Parents, ancestors, dotted_name, enclosing_function, full_name
from pytest_repro.adopting.randomness import CHANGING

#: Functions that list files in the order of the file system.
LISTINGS = ("os.listdir", "os.scandir", "glob.glob", "glob.iglob")
#: Methods of pathlib that do. `glob` is left out: other objects have a method of that name.
_PATH_METHODS = ("iterdir", "rglob")
#: Functions whose result does not depend on the order of what they take.
_ORDER_FREE = {
    "sorted",
    "set",
    "frozenset",
    "len",
    "any",
    "all",
    "min",
    "max",
    "sum",
    "dict",
    "Counter",
    "unique",
    "natsorted",
}
#: Functions that keep the order of what they take.
_ORDER_KEEPING = {"list", "tuple", "enumerate", "array", "asarray", "tensor", "Series", "join", "extend", "fromiter"}
#: Functions that build data of what they take.
_BUILDERS = {
    "numpy.array",
    "numpy.asarray",
    "pandas.DataFrame",
    "pandas.Series",
    "pandas.Index",
    "pandas.to_datetime",
    "torch.tensor",
}
#: Methods of a loop's body that keep the order of the loop.
_FILLING = {"append", "extend", "insert", "write", "writelines", "writerow"}


def find_orders(tree: ast.AST, aliases: dict[str, str], parents: Parents, file: str) -> Iterator[Finding]:
    """Yield where the order of a listing or a set reaches a result, and where the time becomes data."""
    sets = _find_sets(tree, parents)
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr):
            continue
        if isinstance(node, ast.Call):
            name = full_name(node.func, aliases)
            is_method = isinstance(node.func, ast.Attribute) and node.func.attr in _PATH_METHODS and not name
            if (name in LISTINGS or is_method) and _order_matters(node, parents):
                text = f"the order of {ast.unparse(node.func)}() is that of the file system"
                yield Finding(file, node.lineno, "unsorted_listing", "mend", text, "iterate over sorted(...)")
            elif name == "os.walk" and _walk_matters(node, parents):
                text = "os.walk() goes through folders and files in the order of the file system"
                yield Finding(file, node.lineno, "unsorted_listing", "mend", text, "sort dirs in place, and files")
            elif name in CHANGING and (use := _find_use_as_data(node, parents, aliases)):
                text = f"{CHANGING[name]} of {ast.unparse(node.func)}() becomes data: {use}"
                yield Finding(file, node.lineno, "time_as_data", "mend", text, "pass it in, or use a constant")
        if _is_set(node, sets, parents) and _order_matters(node, parents):
            text = f"the order of {_shorten(node)}, a set, depends on hashes, which for text differ between processes"
            yield Finding(file, node.lineno, "set_order", "mend", text, "iterate over sorted(...)")


def _find_sets(tree: ast.AST, parents: Parents) -> set[tuple[ast.AST | None, str]]:
    """Return the names of each function that are bound to sets, and to nothing else."""
    bound: dict[tuple[ast.AST | None, str], bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            parent = parents.get(node)
            value = parent.value if isinstance(parent, (ast.Assign, ast.AnnAssign)) else None
            stays = isinstance(parent, ast.AugAssign) and isinstance(parent.op, (ast.BitOr, ast.Sub, ast.BitAnd))
            key = (enclosing_function(node, parents), node.id)
            bound[key] = bound.get(key, True) and (stays or (value is not None and _makes_set(value)))
        elif isinstance(node, ast.arg):
            bound[parents[parents[node]], node.arg] = False
    return {key for key, is_set in bound.items() if is_set}


def _makes_set(node: ast.expr) -> bool:
    """Return whether an expression is a set that may hold text."""
    if isinstance(node, ast.Set):
        return not all(isinstance(each, ast.Constant) and isinstance(each.value, (int, float)) for each in node.elts)
    if isinstance(node, ast.SetComp):
        return not _is_number(node.elt)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
        return bool(node.args) and not _holds_numbers(node.args[0])
    return False


def _is_number(node: ast.expr) -> bool:
    """Return whether an expression is a number for sure."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("int", "float", "len", "abs", "round", "ord")
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _holds_numbers(node: ast.expr) -> bool:
    """Return whether an iterable holds numbers for sure, whose order in a set is the same everywhere."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "range"
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(map(_is_number, node.elts))
    return isinstance(node, (ast.ListComp, ast.GeneratorExp)) and _is_number(node.elt)


def _is_set(node: ast.expr, sets: set[tuple[ast.AST | None, str]], parents: Parents) -> bool:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return (enclosing_function(node, parents), node.id) in sets
    return _makes_set(node)


def _order_matters(node: ast.expr, parents: Parents) -> bool:
    """Return whether the order of an iterable reaches a result, as far as its surroundings show."""
    parent = parents.get(node)
    if isinstance(parent, ast.Call) and node in parent.args:
        return _last_name(parent.func) in _ORDER_KEEPING and _order_matters_of_value(parent, parents)
    if isinstance(parent, ast.For) and node is parent.iter:
        return _fills(parent, parents)
    if isinstance(parent, ast.comprehension) and node is parent.iter:
        comprehension = parents[parent]
        if not _uses(comprehension, parent.target):
            return False
        if isinstance(comprehension, ast.ListComp):
            return _order_matters_of_value(comprehension, parents)
        if isinstance(comprehension, ast.GeneratorExp):
            outer = parents.get(comprehension)
            return isinstance(outer, ast.Call) and _last_name(outer.func) in _ORDER_KEEPING
    return False


def _order_matters_of_value(node: ast.expr, parents: Parents) -> bool:
    """Return whether what keeps an order is used for more than what ignores it, and is not sorted later."""
    if any(isinstance(each, (ast.Raise, ast.JoinedStr, ast.Assert)) for each in ancestors(node, parents)):
        return False  # a message, or a check
    parent = parents.get(node)
    if isinstance(parent, ast.Call) and node in parent.args:
        name = _last_name(parent.func)
        return name not in _ORDER_FREE and not name.startswith("assert") and name != "sort"
    if isinstance(parent, ast.Compare):
        return False
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        return not _is_sorted_later(dotted_name(parent.targets[0]), parent, parents)
    if isinstance(parent, ast.For):
        return _fills(parent, parents)
    return not isinstance(parent, ast.Expr)


def _is_sorted_later(name: str, node: ast.AST, parents: Parents) -> bool:
    """Return whether the function sorts a name, or uses it only where the order does not matter."""
    scope = enclosing_function(node, parents) or list(ancestors(node, parents))[-1]
    uses = [each for each in ast.walk(scope) if isinstance(each, ast.expr) and dotted_name(each) == name and name]
    start = getattr(node, "lineno", 0)
    loads = [each for each in uses if isinstance(getattr(each, "ctx", None), ast.Load) and each.lineno > start]
    for use in loads:
        parent = parents.get(use)
        if isinstance(parent, ast.Attribute) and parent.attr == "sort":
            return True
        for each in ancestors(use, parents):
            if isinstance(each, ast.stmt):
                break
            if isinstance(each, ast.Call) and _last_name(each.func) == "sorted":
                return True
    return bool(loads) and all(_is_order_free_use(use, parents) for use in loads)


def _is_order_free_use(use: ast.expr, parents: Parents) -> bool:
    parent = parents.get(use)
    if isinstance(parent, ast.Call) and use in parent.args:
        return _last_name(parent.func) in _ORDER_FREE
    if isinstance(parent, ast.For):
        return not _fills(parent, parents)
    if isinstance(parent, ast.comprehension):
        return isinstance(parents[parent], (ast.DictComp, ast.SetComp))
    return isinstance(parent, (ast.Compare, ast.FormattedValue, ast.UnaryOp, ast.If, ast.While, ast.BoolOp))


def _fills(loop: ast.For, parents: Parents) -> bool:
    """Return whether the body of a loop keeps its order: it yields, writes, or appends to what nothing sorts later."""
    for statement in loop.body:
        for node in ast.walk(statement):
            if isinstance(node, (ast.Yield, ast.YieldFrom)):
                return True
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
                name = dotted_name(node.func.value)
                if not (name and _is_sorted_later(name, loop, parents)):
                    return True
    return False


def _uses(comprehension: ast.AST, target: ast.expr) -> bool:
    """Return whether the elements of a comprehension depend on its variable."""
    names = {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
    element = getattr(comprehension, "elt", None)
    if element is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(element))


def _walk_matters(node: ast.Call, parents: Parents) -> bool:
    loop = parents.get(node)
    if not (isinstance(loop, ast.For) and loop.iter is node and _fills(loop, parents)):
        return False
    texts = [ast.unparse(statement) for statement in loop.body]
    function = enclosing_function(node, parents)
    after = ast.unparse(function) if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""
    return not any("sort" in text for text in (*texts, after))


def _find_use_as_data(node: ast.Call, parents: Parents, aliases: dict[str, str]) -> str:
    """Describe how a value that changes becomes data, or return an empty text: times are logged far more often."""
    for parent in ancestors(node, parents):
        if isinstance(parent, (ast.List, ast.Tuple, ast.Set)) and isinstance(
            parents.get(parent), (ast.List, ast.Tuple)
        ):
            return "a row of a table"
        if isinstance(parent, ast.Call) and (name := full_name(parent.func, aliases)) in _BUILDERS:
            return f"an argument of {name}()"
        is_repeated = isinstance(parent, ast.BinOp) and isinstance(parent.left, ast.List)
        if isinstance(parent, (ast.stmt, ast.JoinedStr, ast.Lambda, ast.BinOp)) and not is_repeated:
            return ""
    return ""


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _shorten(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 50 else text[:47] + "..."
