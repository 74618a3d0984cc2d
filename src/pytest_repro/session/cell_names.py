"""Names that a cell reads from earlier cells, and names that it assigns."""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Iterator

from pytest_repro.session.sent_source import names_read

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def find_assigned(tree: ast.Module) -> list[str]:
    """Return the variables that a cell assigns, without functions, classes and modules, in order."""
    defined = {name for node in ast.walk(tree) for name in _definitions(node)}
    return [name for name in find_stored(tree) if name not in defined]


def find_stored(tree: ast.Module) -> list[str]:
    """Return all global names that a cell binds, in order."""
    code = _compiled(tree.body)
    return list(dict.fromkeys(name for name in _stored(code, {"STORE_NAME", "STORE_GLOBAL"}) if not _is_own(name)))


def find_read(tree: ast.Module) -> list[str]:
    """Return the global names whose values a cell may take from earlier cells, in order.

    A name is left out where the cell has certainly bound it before. What its functions read counts unless the cell
    binds it at any time.
    """
    flow = _Flow()
    bound = flow.follow(tree.body, set())
    found = [*flow.reads, *(name for name in flow.deferred if name not in bound)]
    return [name for name in dict.fromkeys(found) if not _is_own(name)]


def _is_own(name: str) -> bool:
    """Whether a name is Python's own, as `__annotations__`."""
    return name.startswith("__") and name.endswith("__")


class _Flow:
    """Follows statements in order. What a branch or a loop binds is certain only inside it."""

    def __init__(self) -> None:
        self.reads: dict[str, None] = {}
        #: Read by functions, when they are called.
        self.deferred: dict[str, None] = {}

    def follow(self, statements: list[ast.stmt], bound: set[str]) -> set[str]:
        """Return the names that are certainly bound after the statements."""
        bound = set(bound)
        for statement in statements:
            bound = self._follow_one(statement, bound)
        return bound

    def _follow_one(self, statement: ast.stmt, bound: set[str]) -> set[str]:
        match statement:
            case ast.If():
                self._read([ast.Expr(statement.test)], bound)
                return self.follow(statement.body, bound) & self.follow(statement.orelse, bound)
            case ast.For():
                self._read([ast.Expr(statement.iter)], bound)
                target = ast.Assign([statement.target], ast.Constant(None))
                self.follow([target, *statement.body], bound)
                self.follow(statement.orelse, bound)
                return bound
            case ast.While():
                self._read([ast.Expr(statement.test)], bound)
                self.follow(statement.body, bound)
                self.follow(statement.orelse, bound)
                return bound
            case ast.With():
                for item in statement.items:
                    self._read([ast.Expr(item.context_expr)], bound)
                    if item.optional_vars is not None:
                        bound = self._follow_one(ast.Assign([item.optional_vars], ast.Constant(None)), bound)
                return self.follow(statement.body, bound)
            case ast.Try():
                self.follow([*statement.body, *statement.orelse], bound)
                for handler in statement.handlers:
                    named = {handler.name} if handler.name else set()
                    if handler.type is not None:
                        self._read([ast.Expr(handler.type)], bound)
                    self.follow(handler.body, bound | named)
                return self.follow(statement.finalbody, bound)
            case _:
                self._read([statement], bound)
                return bound | set(_stored(_compiled([statement]), {"STORE_NAME"}))

    def _read(self, statements: list[ast.stmt], bound: set[str]) -> None:
        code = _compiled(statements)
        later = isinstance(statements[0], _FUNCTIONS)
        own = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_NAME"}
        for name in names_read(code):
            if name in bound or (name in _stored(code, {"STORE_NAME"}) and name not in own):
                continue
            (self.reads if not later or name in own else self.deferred)[name] = None


def _compiled(statements: list[ast.stmt]) -> types.CodeType:
    module = ast.fix_missing_locations(ast.Module(statements, []))
    return compile(module, "<cell>", "exec", dont_inherit=True)


def _stored(code: types.CodeType, steps: set[str]) -> Iterator[str]:
    yield from (step.argval for step in dis.get_instructions(code) if step.opname in steps)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _stored(constant, {"STORE_GLOBAL"} & steps)


def _definitions(node: ast.AST) -> list[str]:
    if isinstance(node, _FUNCTIONS):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return []
