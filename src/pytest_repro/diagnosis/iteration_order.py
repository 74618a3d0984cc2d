"""Loops over a set that has no name: its order shows in the values of the loop's variable, one by one."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_differences import Difference
from pytest_repro.diagnosis.trace_reading import Event, Frame
from pytest_repro.diagnosis.trace_statements import parse_statement
from pytest_repro.tracing.describing import IN_PART
from pytest_repro.tracing.statements import read_source

_MAKERS = frozenset({"set", "frozenset"})
#: Functions that keep the order of their argument.
_KEEPERS = frozenset({"enumerate", "list", "tuple", "iter"})
_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})


def is_loop_reordered(thread: AlignedThread, difference: Difference, others: Iterable[Difference]) -> bool:
    """Return whether a loop's variable differs because it takes a set's elements in another order.

    Parameters
    ----------
    thread : AlignedThread
    difference : Difference
    others : iterable of Difference
        All differences of the thread.
    """
    pair = thread.pairs[difference.index]
    if pair.expected is None or pair.actual is None or pair.expected.is_call:
        return False
    loop = parse_loop(read_source(pair.expected.frame.code.file, pair.expected.line))
    if loop is None or difference.root not in loop.targets:
        return False
    if any(value is None or value.text.endswith(IN_PART) for value in (difference.expected, difference.actual)):
        return False
    line = pair.expected.line
    one = _taken([p.expected for p in thread.pairs], pair.expected.frame, line, difference.root)
    other = _taken([p.actual for p in thread.pairs], pair.actual.frame, line, difference.root)
    if one != other and Counter(one) == Counter(other):
        return True
    # Not every element of a long loop was seen. The values that the set was made from must then be identical.
    if loop.reads is None or any(each.root in loop.reads for each in others if each.index <= difference.index):
        return False
    made_from = [pair.expected.frame.latest.get(name) for name in loop.reads]
    return any(value is not None for value in made_from) and not any(
        value.text.endswith(IN_PART) for value in made_from if value is not None
    )


class Loop(NamedTuple):
    """A loop over a set.

    Attributes
    ----------
    targets : frozenset of str
        Its variables.
    reads : frozenset of str or None
        Names that the set is made from. None where a function returns it.
    """

    targets: frozenset[str]
    reads: frozenset[str] | None


def parse_loop(source: str) -> Loop | None:
    """Parse a ``for`` statement whose iterable makes a set, or return None for any other."""
    body = parse_statement(source).body
    statement = body[0] if len(body) == 1 else None
    if not isinstance(statement, (ast.For, ast.AsyncFor)) or not _walks_set(statement.iter):
        return None
    within = list(ast.walk(statement.iter))
    names = {node.id for node in within if isinstance(node, ast.Name)} - _MAKERS - _KEEPERS
    calls = [node for node in within if isinstance(node, ast.Call) and not _is_known(node)]
    targets = frozenset(node.id for node in ast.walk(statement.target) if isinstance(node, ast.Name))
    return Loop(targets, None if calls else frozenset(names))


def _walks_set(node: ast.AST) -> bool:
    """Return whether iterating over an expression may iterate over a set, in no order of its own."""
    if isinstance(node, ast.IfExp):
        return _walks_set(node.body) or _walks_set(node.orelse)
    if isinstance(node, ast.BinOp):
        return _walks_set(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _KEEPERS and node.args:
        return _walks_set(node.args[0])
    return isinstance(node, (ast.Set, ast.SetComp)) or (isinstance(node, ast.Call) and _makes_set(node))


def _makes_set(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in _MAKERS
    return isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS


def _is_known(call: ast.Call) -> bool:
    return _makes_set(call) or (isinstance(call.func, ast.Name) and call.func.id in _KEEPERS)


def _taken(events: list[Event | None], frame: Frame, line: int, name: str) -> list[str]:
    return [
        event.changes[name].digest
        for event in events
        if event is not None and event.frame is frame and event.line == line and name in event.changes
    ]
