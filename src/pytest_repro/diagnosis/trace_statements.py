"""The statements of a trace that do something, as their source tells."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator

from pytest_repro.diagnosis.trace_reading import Event
from pytest_repro.running.watching.statements import read_source

#: Functions and modules that a compiler made, by the names of their types.
_COMPILED = re.compile(r"(CPUDispatcher|DUFunc|OptimizedModule|PjitFunction|RecursiveScriptModule|ScriptFunction)\b")
MODULES = frozenset({"np", "numpy", "torch", "jnp"})
#: What makes room and leaves in it what was there; the first also tells, as a property, that a table has no rows.
_MAKES_ROOM = frozenset({"empty", "empty_like", "empty_strided", "ndarray", "new_empty", "new_empty_strided"})


def find_statement(events: Iterable[Event], is_wanted: Callable[[str, Event], bool]) -> Event | None:
    """Return the first statement of its kind; each line is told once.

    Parameters
    ----------
    events : iterable of Event
    is_wanted : callable (source, Event) -> bool
    """
    told: dict[tuple[str, int], bool] = {}
    for event in events:
        if event.is_call:
            continue
        place = (event.frame.code.file, event.line)
        if place not in told:
            told[place] = is_wanted(read_source(*place), event)
        if told[place]:
            return event
    return None


def find_unwritten(events: Iterable[Event]) -> Event | None:
    """Return the statement that makes an array without filling it; None without one, or with several."""
    kept = list(events)
    found = find_statement(kept, lambda source, _: _makes_room(source))
    last = find_statement(reversed(kept), lambda source, _: _makes_room(source))
    if found is None or last is None or (found.frame.code.file, found.line) != (last.frame.code.file, last.line):
        return None
    return found


def is_compiled_in_one(expected: Event, actual: Event) -> bool:
    """Tell whether a statement gives in one run what a compiler made, and not in the other."""
    for name in expected.changes.keys() | actual.changes.keys():
        given = [event.changes.get(name) for event in (expected, actual)]
        if sum(value is not None and _COMPILED.match(value.text) is not None for value in given) == 1:
            return True
    return False


def calls_in(source: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls in a statement, each with the name of what is called."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node, node.func.id


def _makes_room(source: str) -> bool:
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in _MAKES_ROOM:
            if node.attr != "empty" or (isinstance(node.value, ast.Name) and node.value.id in MODULES):
                return True
        elif isinstance(node, ast.Name) and node.id in _MAKES_ROOM:
            return True
    return False


def _parse(source: str) -> ast.AST:
    text = textwrap.dedent(source).strip()
    try:
        # A compound statement is given by its first line alone.
        return ast.parse(f"{text} pass" if text.endswith(":") else text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])
