"""Which variables the targets of a statement are made from, by the syntax tree of its file.

A chain is a variable with the attributes and constant keys that follow it: ``("self", "w")`` for ``self.w``,
``("state", "['n']")`` for ``state["n"]``. What a call of a watched function is given is left out: its frame in the trace
says which of its arguments matter.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

Chain = tuple[str, ...]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
#: Targets of statements that bind no variable.
RETURNED, TAKEN, YIELDED = ("(return)",), ("(branch)",), ("(yield)",)

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_LOG_METHODS = frozenset({"critical", "debug", "error", "exception", "info", "log", "print", "warning"})


class Reads(NamedTuple):
    """What an expression is made from.

    Attributes
    ----------
    chains : set of Chain
    calls : set of str
        Names of the watched functions that it calls.
    """

    chains: set[Chain]
    calls: set[str]


class Site(NamedTuple):
    """A call in a statement, or an attribute that may be a property.

    Attributes
    ----------
    owner : ast.expr or None
        The object whose method is called.
    call : ast.Call or None
        None for a property.
    """

    owner: ast.expr | None
    call: ast.Call | None


@dataclass(frozen=True, slots=True)
class Flow:
    """Targets of a statement, and the expressions that they are made from.

    Attributes
    ----------
    targets : tuple of Chain
    sources : tuple of ast.expr
    rebinds : bool
        Whether the targets are plain variables, which hold nothing of their former values.
    """

    targets: tuple[Chain, ...]
    sources: tuple[ast.expr, ...]
    rebinds: bool


@dataclass(eq=False)
class Piece:
    """One statement, of a compound one its header.

    Attributes
    ----------
    node : ast.stmt
    """

    node: ast.stmt
    _bound: dict[str, list[ast.expr]] = field(default_factory=dict)

    @cached_property
    def expressions(self) -> list[ast.expr]:
        """The expressions that the statement evaluates itself, without those of its blocks."""
        return [part for part in _header(self.node) if isinstance(part, ast.expr)]

    @cached_property
    def flows(self) -> list[Flow]:
        """What its targets are made from, in the order of evaluation."""
        found = [*self._walrus(), *_flows(self.node)]
        for expression in self.expressions:
            found += [
                Flow((YIELDED,), (node.value,), rebinds=False)
                for node in _walk(expression)
                if isinstance(node, (ast.Yield, ast.YieldFrom)) and node.value is not None
            ]
        return found

    def _walrus(self) -> Iterator[Flow]:
        for expression in self.expressions:
            for node in ast.walk(expression):
                if isinstance(node, ast.NamedExpr):
                    yield Flow(((node.target.id,),), (node.value,), rebinds=True)

    @cached_property
    def sites(self) -> dict[str, list[Site]]:
        """The calls in it by the name of the function, and attributes by their name."""
        found: dict[str, list[Site]] = {}
        for expression in self.expressions:
            for node in ast.walk(expression):
                if isinstance(node, ast.Call):
                    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
                    found.setdefault(_name_of(node), []).append(Site(owner, node))
                elif isinstance(node, ast.Attribute):
                    found.setdefault(node.attr, []).append(Site(node.value, None))
        return found

    @cached_property
    def inner(self) -> dict[str, list[ast.expr]]:
        """Variables of comprehensions and lambdas in it, each with the iterables that it takes its values from."""
        found: dict[str, list[ast.expr]] = {}
        for expression in self.expressions:
            for node in ast.walk(expression):
                if isinstance(node, _COMPREHENSIONS):
                    for part in node.generators:
                        for name in _names_in(part.target):
                            found.setdefault(name, []).append(part.iter)
                elif isinstance(node, ast.Lambda):
                    for argument in _arguments(node.args):
                        found.setdefault(argument, [])
        return found

    @property
    def is_log(self) -> bool:
        """Whether it is a call of `print` or of a logger's method, for nothing but its output."""
        call = self.node.value if isinstance(self.node, ast.Expr) else None
        return isinstance(call, ast.Call) and _name_of(call) in _LOG_METHODS

    def read(self, expressions: Iterable[ast.expr], watched: Collection[str] = ()) -> Reads:
        """Return what expressions of this statement are made from.

        Parameters
        ----------
        expressions : iterable of ast.expr
        watched : collection of str
            Names of functions whose calls have frames of their own in the trace.
        """
        reads = Reads(set(), set())
        for expression in expressions:
            self._read(expression, watched, reads, frozenset())
        return reads

    def _read(self, node: ast.AST, watched: Collection[str], reads: Reads, above: frozenset[str]) -> None:
        if isinstance(node, ast.Call) and (name := _name_of(node)) in watched:
            reads.calls.add(name)
            return
        if isinstance(node, ast.Attribute) and node.attr in watched:
            reads.calls.add(node.attr)  # a property
            return
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            chain, rest = parse_chain(node)
            for part in rest:
                self._read(part, watched, reads, above)
            if not chain:
                return
            if chain[0] not in self.inner:
                reads.chains.add(chain)
            elif chain[0] not in above:
                for iterable in self.inner[chain[0]]:
                    self._read(iterable, watched, reads, above | {chain[0]})
            return
        for child in ast.iter_child_nodes(node):
            self._read(child, watched, reads, above)

    def arguments(self, name: str, parameter: str, function: FunctionNode) -> list[ast.expr] | None:
        """Return the expressions that calls of a watched function in this statement pass for a parameter.

        Returns
        -------
        list of ast.expr or None
            None where it is not known, as for a starred argument or a call by other code.
        """
        found: list[ast.expr] = []
        sites = self.sites.get(name, [])
        calls = [site for site in sites if site.call is not None] or sites
        for site in calls:
            given = _given(site, parameter, function)
            if given is None:
                return None
            found += given
        return found if calls else None


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
    #: Functions and their lines, to find the scope that a variable belongs to.
    outer: dict[FunctionNode, FunctionNode | None] = field(default_factory=dict)
    owner: dict[ast.stmt, FunctionNode | None] = field(default_factory=dict)
    _cells: dict[FunctionNode, set[str]] | None = None

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
            self.pieces.setdefault(node.lineno, []).append(Piece(node))
            self.owner[node] = outer
            inner = outer
            if isinstance(node, _FUNCTIONS):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                self.functions[first, node.name] = node
                self.outer[node] = outer
                inner = node
            for block in _blocks(node):
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
        bound, free, global_ = set(_arguments(function.args)), set(), set()
        for node in _walk_own(function):
            if isinstance(node, ast.Global):
                global_.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                free.update(node.names)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
            elif isinstance(node, _SCOPES):
                bound.add(node.name)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                bound.add(node.name)
        known = _Declared(frozenset(bound - free - global_), frozenset(global_))
        function._repro_declared = known  # type: ignore[union-attr]
    return known


def is_generator(function: FunctionNode) -> bool:
    """Return whether a function yields."""
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in _walk_own(function))


def yielded(function: FunctionNode) -> list[tuple[int, ast.expr]]:
    """Return the expressions that a generator yields, each with its line."""
    return [
        (node.lineno, node.value)
        for node in _walk_own(function)
        if isinstance(node, (ast.Yield, ast.YieldFrom)) and node.value is not None
    ]


def is_rebound(function: FunctionNode, name: str) -> bool:
    """Return whether a function binds one of its parameters to another object."""
    for node in _walk_own(function):
        targets = [node.target] if isinstance(node, (ast.AnnAssign, ast.For, ast.NamedExpr)) else []
        if isinstance(node, ast.Assign):
            targets = node.targets
        if any(name in _names_in(target) for target in targets):
            return True
    return False


def parameters_of(function: FunctionNode, *, with_starred: bool = True) -> list[str]:
    """Return the names of the parameters."""
    starred = [a.arg for a in (function.args.vararg, function.args.kwarg) if a is not None]
    return [name for name in _arguments(function.args) if with_starred or name not in starred]


def parse_chain(node: ast.expr) -> tuple[Chain, list[ast.expr]]:
    """Return the chain of an expression, and other expressions that it evaluates.

    The chain ends before the first key that is not constant. It is empty if the expression does not begin with a name.
    """
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
            break
    if isinstance(at, ast.Name):
        return (at.id, *names), rest
    return (), [*rest, at]


def _flows(node: ast.stmt) -> Iterator[Flow]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assign(target, node.value)
    elif isinstance(node, ast.AnnAssign):
        if node.value is not None:
            yield from _assign(node.target, node.value)
    elif isinstance(node, ast.AugAssign):
        chains, keys = _targets(node.target)
        yield Flow(chains, (node.value, node.target, *keys), rebinds=False)
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        yield from _assign(node.target, node.iter)
        yield Flow((TAKEN,), (node.iter,), rebinds=False)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if item.optional_vars is not None:
                yield from _assign(item.optional_vars, item.context_expr)
    elif isinstance(node, ast.Return):
        if node.value is not None:
            yield Flow((RETURNED,), (node.value,), rebinds=False)
    elif isinstance(node, (ast.If, ast.While)):
        yield Flow((TAKEN,), (node.test,), rebinds=False)
    elif isinstance(node, ast.Match):
        yield Flow((TAKEN,), (node.subject,), rebinds=False)
    elif isinstance(node, _FUNCTIONS):
        yield Flow(((node.name,),), tuple(_header_expressions(node)), rebinds=True)


def _assign(target: ast.expr, value: ast.expr) -> Iterator[Flow]:
    if isinstance(target, (ast.Tuple, ast.List)):
        parts = target.elts
        is_starred = any(isinstance(part, ast.Starred) for part in parts)
        if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(parts) and not is_starred:
            for part, given in zip(parts, value.elts, strict=True):
                yield from _assign(part, given)
            return
    chains, keys = _targets(target)
    plain = all(isinstance(node, (ast.Name, ast.Tuple, ast.List, ast.Starred, ast.expr_context)) for node in ast.walk(target))
    yield Flow(chains, (value, *keys), rebinds=plain)


def _targets(target: ast.expr) -> tuple[tuple[Chain, ...], list[ast.expr]]:
    if isinstance(target, (ast.Tuple, ast.List)):
        found = [_targets(part) for part in target.elts]
        return tuple(c for chains, _ in found for c in chains), [key for _, keys in found for key in keys]
    chain, rest = parse_chain(target)
    return ((chain,) if chain else ()), rest


def _given(site: Site, parameter: str, function: FunctionNode) -> list[ast.expr] | None:
    arguments = function.args
    positional = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
    if site.call is None:
        return [site.owner] if positional[:1] == [parameter] and site.owner is not None else []
    call = site.call
    is_bound = bool(positional) and positional[0] in ("self", "cls", "mcs")
    if is_bound and positional[0] == parameter:
        if isinstance(site.owner, ast.Call) and _name_of(site.owner) == "super":
            return [ast.Name("self", ast.Load())]
        return [site.owner] if site.owner is not None else []
    for keyword in call.keywords:
        if keyword.arg == parameter:
            return [keyword.value]
    if any(keyword.arg is None for keyword in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    if parameter in positional:
        number = positional.index(parameter) - is_bound
        return [call.args[number]] if number < len(call.args) else []
    if arguments.vararg is not None and arguments.vararg.arg == parameter:
        return call.args[len(positional) - is_bound :]
    if arguments.kwarg is not None and arguments.kwarg.arg == parameter:
        known = {*positional, *(argument.arg for argument in arguments.kwonlyargs)}
        return [keyword.value for keyword in call.keywords if keyword.arg not in known]
    return []


def _name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _names_in(target: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}


def _arguments(arguments: ast.arguments) -> list[str]:
    single = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *single]]


def _header_expressions(node: FunctionNode) -> list[ast.expr]:
    defaults = [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]
    return [*node.decorator_list, *defaults]


def _header(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, _FUNCTIONS):
        yield from _header_expressions(node)
        return
    if isinstance(node, ast.ClassDef):
        yield from [*node.decorator_list, *node.bases]
        return
    for name, value in ast.iter_fields(node):
        if name in ("body", "orelse", "finalbody", "handlers", "cases"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.withitem):
                yield item.context_expr
            elif isinstance(item, ast.AST):
                yield item


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        if isinstance(block := getattr(node, name, None), list):
            yield block
    for handler in getattr(node, "handlers", []):
        yield handler.body
    for case in getattr(node, "cases", []):
        yield case.body


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of an expression, without those of its lambdas."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield from _walk(child)


def _walk_own(function: FunctionNode) -> Iterator[ast.AST]:
    """Yield the nodes in the body of a function, without those of the functions and classes in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*_SCOPES, ast.Lambda, *_COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
        elif isinstance(node, _COMPREHENSIONS):
            waiting += [part.iter for part in node.generators]
