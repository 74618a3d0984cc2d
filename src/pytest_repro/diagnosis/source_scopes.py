"""Statements and functions of a source file, and the scopes of their variables."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pytest_repro.diagnosis.statement_flow import Piece
from pytest_repro.diagnosis.syntax_names import (
    COMPREHENSIONS,
    FUNCTIONS,
    SCOPES,
    FunctionNode,
    names_in,
    parameters_of,
)
from pytest_repro.tracing.statements import blocks_of


@dataclass(eq=False)
class SourceFile:
    """The statements of a file by their first lines, and its functions.

    Attributes
    ----------
    pieces : dict of int -> list of Piece
    functions : dict of (int, str) -> FunctionNode
        By the line at which its code begins, and its name.
    """

    pieces: dict[int, list[Piece]] = field(default_factory=dict)
    functions: dict[tuple[int, str], FunctionNode] = field(default_factory=dict)
    #: By the function that binds a name to a lambda, or None: the statement and the lambda's body.
    lambdas: dict[tuple[FunctionNode | None, str], tuple[Piece, ast.expr]] = field(default_factory=dict)
    #: Functions and their lines, to find the scope that a variable belongs to.
    outer: dict[FunctionNode, FunctionNode | None] = field(default_factory=dict)
    owner: dict[ast.stmt, FunctionNode | None] = field(default_factory=dict)
    _cells: dict[FunctionNode, set[str]] | None = None
    _rebound: dict[FunctionNode, set[str]] = field(default_factory=dict)
    _yields: dict[FunctionNode, bool] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str) -> SourceFile:
        """Read a file. One that cannot be read or parsed has no statements."""
        found = cls()
        try:
            found._visit(ast.parse(Path(path).read_bytes()).body, None)
        except (OSError, ValueError, SyntaxError, RecursionError):
            return cls()
        return found

    def _visit(self, body: list[ast.stmt], outer: FunctionNode | None) -> None:
        for node in body:
            piece = Piece(node)
            self.pieces.setdefault(node.lineno, []).append(piece)
            self.owner[node] = outer
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                for name in {name for target in node.targets for name in names_in(target)}:
                    self.lambdas[outer, name] = piece, node.value.body
            inner = outer
            if isinstance(node, FUNCTIONS):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                self.functions[first, node.name] = node
                self.outer[node] = outer
                inner = node
            for block in blocks_of(node):
                self._visit(block, inner)

    def scope_of(self, name: str, function: FunctionNode | None) -> FunctionNode | None:
        """Return the function whose variable a name is where `function` uses it, or None for a global one."""
        while function is not None:
            declared = _declared(function)
            if name in declared.global_:
                return None
            if name in declared.bound:
                return function
            function = self.outer.get(function)
        return None

    def is_rebound(self, function: FunctionNode, name: str) -> bool:
        """Return whether a function binds one of its parameters to another object."""
        if function not in self._rebound:
            self._rebound[function] = set(_rebound(function))
        return name in self._rebound[function]

    def is_generator(self, function: FunctionNode) -> bool:
        """Return whether a function yields."""
        if function not in self._yields:
            self._yields[function] = _is_generator(function)
        return self._yields[function]

    def is_cell(self, function: FunctionNode, name: str) -> bool:
        """Return whether functions inside of a function use a variable of it."""
        if self._cells is None:
            self._cells = {}
            for inner, outer in self.outer.items():
                if outer is None:
                    continue
                used = {node.id for node in ast.walk(inner) if isinstance(node, ast.Name)} - _declared(inner).bound
                for each in used:
                    if (scope := self.scope_of(each, inner)) is not None:
                        self._cells.setdefault(scope, set()).add(each)
        return name in self._cells.get(function, ())


class _Declared(NamedTuple):
    bound: frozenset[str]
    global_: frozenset[str]


def _declared(function: FunctionNode) -> _Declared:
    known: _Declared | None = getattr(function, "_repro_declared", None)
    if known is None:
        bound, free, global_ = set(parameters_of(function)), set(), set()
        for node in _walk_own(function):
            if isinstance(node, ast.Global):
                global_.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                free.update(node.names)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
            elif isinstance(node, (*SCOPES, ast.ExceptHandler)):
                bound.add(node.name or "")
        known = _Declared(frozenset(bound - free - global_), frozenset(global_))
        function._repro_declared = known  # type: ignore[union-attr]
    return known


def _is_generator(function: FunctionNode) -> bool:
    """Return whether a function yields."""
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in _walk_own(function))


def _rebound(function: FunctionNode) -> Iterator[str]:
    for node in _walk_own(function):
        targets = [node.target] if isinstance(node, (ast.AnnAssign, ast.For, ast.NamedExpr)) else []
        if isinstance(node, ast.Assign):
            targets = node.targets
        for target in targets:
            yield from names_in(target)


def _walk_own(function: FunctionNode) -> Iterator[ast.AST]:
    """Yield the nodes in the body of a function, without those of the functions and classes in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*SCOPES, ast.Lambda, *COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
        elif isinstance(node, COMPREHENSIONS):
            waiting += [part.iter for part in node.generators]
