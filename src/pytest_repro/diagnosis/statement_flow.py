"""Which variables the targets of a statement are made from, by the syntax tree of its file.

What a call of a watched function is given is left out: its frame in the
trace says which of its arguments matter.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pytest_repro.diagnosis.syntax_names import (
    COMPREHENSIONS,
    FUNCTIONS,
    Chain,
    FunctionNode,
    argument_names,
    name_of_called,
    names_in,
    parse_chain,
    split_chain,
    targets_of,
    walk_outside_lambdas,
)
from pytest_repro.tracing.statements import FILE_WRITERS

#: Targets of statements that bind no variable.
RETURNED, TAKEN, YIELDED = ("(return)",), ("(branch)",), ("(yield)",)

#: Names of functions that read a file.
READERS = frozenset({
    "fromfile", "genfromtxt", "load", "loads", "loadtxt", "open", "read", "read_bytes", "read_csv", "read_feather",
    "read_json", "read_parquet", "read_pickle", "read_text", "readline", "readlines", "reader", "safe_load",
})  # fmt: skip
_LOG_METHODS = frozenset({"critical", "debug", "error", "exception", "info", "log", "print", "warning"})


class Reads(NamedTuple):
    """What an expression is made from.

    Attributes
    ----------
    chains : set of Chain
    calls : dict of str -> set of Chain
        The watched functions that it calls, by name, and the parts of what they return that it takes.
    """

    chains: set[Chain]
    calls: dict[str, set[Chain]]


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
        Whether the targets hold nothing of their former values.
    part : Chain or None
        The part of the first source that the targets are: ``("[1]",)`` for `b` in ``a, b = f()``. None where it is
        not known.
    """

    targets: tuple[Chain, ...]
    sources: tuple[ast.expr, ...]
    rebinds: bool
    part: Chain | None = None

    def wanted(self, needed: Iterable[Chain], root: str) -> set[Chain]:
        """Return the parts of the first source from which the needed parts of a variable are made."""
        found: set[Chain] = set()
        for target in self.targets:
            for chain in needed if target[0] == root else ():
                count = min(len(chain), len(target))
                if chain[:count] == target[:count]:
                    found.add(() if self.part is None else (*self.part, *chain[len(target) :]))
        return found


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
                for node in walk_outside_lambdas(expression)
                if isinstance(node, (ast.Yield, ast.YieldFrom)) and node.value is not None
            ]
        return found

    def _walrus(self) -> Iterator[Flow]:
        for expression in self.expressions:
            for node in ast.walk(expression):
                if isinstance(node, ast.NamedExpr):
                    yield Flow(((node.target.id,),), (node.value,), rebinds=True, part=())

    @cached_property
    def sites(self) -> dict[str, list[Site]]:
        """The calls in it by the name of the function, and attributes by their name."""
        found: dict[str, list[Site]] = {}
        for expression in self.expressions:
            for node in ast.walk(expression):
                if isinstance(node, ast.Call):
                    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
                    found.setdefault(name_of_called(node), []).append(Site(owner, node))
                elif isinstance(node, ast.Attribute):
                    found.setdefault(node.attr, []).append(Site(node.value, None))
        return found

    @cached_property
    def inner(self) -> dict[str, list[ast.expr]]:
        """Variables of comprehensions and lambdas in it, each with the iterables that it takes its values from."""
        found: dict[str, list[ast.expr]] = {}
        for expression in self.expressions:
            for node in ast.walk(expression):
                if isinstance(node, COMPREHENSIONS):
                    for part in node.generators:
                        for name in names_in(part.target):
                            found.setdefault(name, []).append(part.iter)
                elif isinstance(node, ast.Lambda):
                    for argument in argument_names(node.args):
                        found.setdefault(argument, [])
        return found

    @property
    def raising(self) -> list[ast.expr]:
        """The expressions by which it raises an exception or does not: none of ``raise``, which always does."""
        if isinstance(self.node, ast.Assert):
            return [self.node.test]
        return [] if isinstance(self.node, ast.Raise) else self.expressions

    @property
    def reads_file(self) -> bool:
        """Whether it calls what reads a file."""
        return not READERS.isdisjoint(self.sites)

    @property
    def writes_file(self) -> bool:
        """Whether it calls what writes a file."""
        return not FILE_WRITERS.isdisjoint(self.sites)

    def calls_others(self, watched: Collection[str]) -> bool:
        """Return whether it calls a function that is not watched, and that may change what it is given."""
        return any(site.call is not None for name, sites in self.sites.items() if name not in watched for site in sites)

    @cached_property
    def called(self) -> list[Chain]:
        """The variables that it calls as functions."""
        chains = [parse_chain(site.call.func) for sites in self.sites.values() for site in sites if site.call]
        return [chain for chain, rest in chains if chain and not rest]

    @property
    def discarded(self) -> str:
        """Name of the function whose value the statement discards, if it is only a call."""
        call = self.node.value if isinstance(self.node, ast.Expr) else None
        return name_of_called(call) if isinstance(call, ast.Call) else ""

    @property
    def is_log(self) -> bool:
        """Whether it is a call of `print` or of a logger's method, for nothing but its output."""
        return self.discarded in _LOG_METHODS

    def read(self, expressions: Iterable[ast.expr], watched: Collection[str] = (), part: Chain = ()) -> Reads:
        """Return what expressions of this statement are made from.

        Parameters
        ----------
        expressions : iterable of ast.expr
        watched : collection of str
            Names of functions whose calls have frames of their own in the trace.
        part : Chain
            The part of the first expression that is asked for, the whole by default.
        """
        reads = Reads(set(), {})
        for number, expression in enumerate(expressions):
            self._read(expression, watched, reads, () if number else part, frozenset())
        return reads

    def _read(self, node: ast.AST, watched: Collection[str], reads: Reads, part: Chain, above: frozenset[str]) -> None:
        if isinstance(node, ast.Call) and (name := name_of_called(node)) in watched:
            reads.calls.setdefault(name, set()).add(part)
        elif isinstance(node, ast.Attribute) and node.attr in watched:
            reads.calls.setdefault(node.attr, set()).add(part)  # a property
        elif isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            base, names, rest = split_chain(node)
            chain = (base.id, *names) if isinstance(base, ast.Name) else ()
            for each in rest:
                self._read(each, watched, reads, (), above)
            if not chain:
                self._read(base, watched, reads, tuple(names) if rest else (*names, *part), above)
            if chain and chain[0] not in self.inner:
                reads.chains.add(chain if rest else (*chain, *part))
            elif chain and chain[0] not in above:
                for iterable in self.inner[chain[0]]:
                    self._read(iterable, watched, reads, (), above | {chain[0]})
        else:
            for child, of_child in _select(node, part):
                self._read(child, watched, reads, of_child, above)

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


def _flows(node: ast.stmt) -> Iterator[Flow]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assign(target, node.value)
    elif isinstance(node, ast.AnnAssign):
        if node.value is not None:
            yield from _assign(node.target, node.value)
    elif isinstance(node, ast.AugAssign):
        chains, keys = targets_of(node.target)
        yield Flow(chains, (node.value, node.target, *keys), rebinds=False)
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        yield from _assign(node.target, node.iter, None)
        yield Flow((TAKEN,), (node.iter,), rebinds=False)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if item.optional_vars is not None:
                yield from _assign(item.optional_vars, item.context_expr, None)
    elif isinstance(node, ast.Return):
        if node.value is not None:
            yield Flow((RETURNED,), (node.value,), rebinds=False, part=())
    elif isinstance(node, (ast.If, ast.While)):
        yield Flow((TAKEN,), (node.test,), rebinds=False)
    elif isinstance(node, ast.Match):
        yield Flow((TAKEN,), (node.subject,), rebinds=False)
    elif isinstance(node, FUNCTIONS):
        yield Flow(((node.name,),), tuple(_header_expressions(node)), rebinds=True)


def _assign(target: ast.expr, value: ast.expr, part: Chain | None = ()) -> Iterator[Flow]:
    if isinstance(target, (ast.Tuple, ast.List)):
        parts = target.elts
        if not any(isinstance(each, ast.Starred) for each in parts):
            if part == () and isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(parts):
                for each, given in zip(parts, value.elts, strict=True):
                    yield from _assign(each, given)
                return
            for number, each in enumerate(parts):
                yield from _assign(each, value, None if part is None else (*part, f"[{number}]"))
            return
        part = None
    chains, keys = targets_of(target)
    yield Flow(chains, (value, *keys), rebinds=not keys, part=None if keys else part)


def _select(node: ast.AST, part: Chain) -> Iterator[tuple[ast.AST, Chain]]:
    """Yield the expressions that a part of an expression is made from, each with the part of it."""
    if part and isinstance(node, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in node.elts):
        for number, element in enumerate(node.elts):
            if part[0] == f"[{number}]":
                yield element, part[1:]
                return
    elif part and isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and part[0] == f"[{key.value!r}]":
                yield value, part[1:]
                return
    elif part and isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg is not None and part[0] in (keyword.arg, f"[{keyword.arg!r}]"):
                yield keyword.value, part[1:]
                return
    elif isinstance(node, ast.IfExp):
        yield from ((node.test, ()), (node.body, part), (node.orelse, part))
        return
    elif isinstance(node, (ast.BoolOp, ast.Await, ast.NamedExpr)):
        yield from ((child, part) for child in ast.iter_child_nodes(node))
        return
    yield from ((child, ()) for child in ast.iter_child_nodes(node))


def _given(site: Site, parameter: str, function: FunctionNode) -> list[ast.expr] | None:
    arguments = function.args
    positional = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
    if site.call is None:
        return [site.owner] if positional[:1] == [parameter] and site.owner is not None else []
    call = site.call
    is_bound = bool(positional) and positional[0] in ("self", "cls", "mcs")
    if is_bound and positional[0] == parameter:
        if isinstance(site.owner, ast.Call) and name_of_called(site.owner) == "super":
            return [ast.Name("self", ast.Load())]
        if function.name in ("__call__", "forward"):
            return [call.func]
        return [site.owner] if site.owner is not None else []
    for keyword in call.keywords:
        if keyword.arg == parameter:
            return [keyword.value]
    unpacked = [keyword.value for keyword in call.keywords if keyword.arg is None]
    starred = next((n for n, argument in enumerate(call.args) if isinstance(argument, ast.Starred)), None)
    if len(unpacked) > 1:
        return None
    if starred is not None and (parameter not in positional or positional.index(parameter) - is_bound >= starred):
        return call.args[starred:]
    if unpacked and (parameter not in positional or positional.index(parameter) - is_bound >= len(call.args)):
        return [ast.Subscript(unpacked[0], ast.Constant(parameter), ast.Load())]
    if parameter in positional:
        number = positional.index(parameter) - is_bound
        return [call.args[number]] if number < len(call.args) else []
    if arguments.vararg is not None and arguments.vararg.arg == parameter:
        return call.args[len(positional) - is_bound :]
    if arguments.kwarg is not None and arguments.kwarg.arg == parameter:
        known = {*positional, *(argument.arg for argument in arguments.kwonlyargs)}
        return [keyword.value for keyword in call.keywords if keyword.arg not in known]
    return []


def _header_expressions(node: FunctionNode) -> list[ast.expr]:
    defaults = [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]
    return [*node.decorator_list, *defaults]


def _header(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, FUNCTIONS):
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
