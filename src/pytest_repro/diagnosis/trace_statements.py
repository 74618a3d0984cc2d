"""Statements of a trace, recognised by their source."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from pytest_repro.diagnosis.trace_reading import Event
from pytest_repro.tracing.statements import read_source

#: Functions that cut data by a number -> whether it is the size of the pieces, or the number of parts.
_CUTS = {
    "split": "size", "batched": "size", "DataLoader": "size", "iter_batches": "size",
    "array_split": "parts", "tensor_split": "parts", "chunk": "parts",
}  # fmt: skip
#: Type names of functions and modules that a compiler made.
_COMPILED = re.compile(r"(CPUDispatcher|DUFunc|OptimizedModule|PjitFunction|RecursiveScriptModule|ScriptFunction)\b")
MODULES = frozenset({"np", "numpy", "torch", "jnp"})
#: Functions that make an array without filling it. `empty` is also a property of tables without rows.
_UNFILLED = frozenset({"empty", "empty_like", "empty_strided", "ndarray", "new_empty", "new_empty_strided"})


#: Operations that compute every element by itself, in more than one rounding.
_ELEMENTWISE = frozenset({
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "celu", "cos", "cosh", "digamma", "elu", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "gelu", "hardswish", "lgamma", "log", "log10", "log1p", "log2", "log_sigmoid",
    "log_sigmoid_forward", "logaddexp", "logit", "mish", "pow", "rsqrt", "selu", "sigmoid", "silu", "sin", "sinc",
    "sinh", "softplus", "sqrt", "tan", "tanh", "xlogy",
})  # fmt: skip


def is_elementwise(op: str) -> bool:
    """Return whether an operation computes every element by itself, so that only the ends of chunks can differ.

    Parameters
    ----------
    op : str
        As a trace names it: ``aten.sigmoid.default``, ``aten.tanh_.default``, ``aten.gelu_backward.default``.
    """
    name = op.removeprefix("aten.").partition(".")[0].removesuffix("_").removesuffix("_backward")
    return name in _ELEMENTWISE


def find_statement(events: Iterable[Event], is_wanted: Callable[[str, Event], bool]) -> Event | None:
    """Return the first statement of a kind. Each line is inspected once.

    Parameters
    ----------
    events : iterable of Event
    is_wanted : callable (source, Event) -> bool
    """
    return next((event for event, source in _each_line(events) if is_wanted(source, event)), None)


def find_unwritten(events: Iterable[Event]) -> Event | None:
    """Return the statement that makes an array without filling it, if there is exactly one."""
    found = [event for event, source in _each_line(events) if _makes_unfilled(source)]
    return found[0] if len(found) == 1 else None


def _each_line(events: Iterable[Event]) -> Iterator[tuple[Event, str]]:
    """Yield the first event of each line, with the line's statement."""
    seen: set[tuple[str, int]] = set()
    for event in events:
        place = (event.frame.code.file, event.line)
        if not event.is_call and place not in seen:
            seen.add(place)
            yield event, read_source(*place)


def is_compiled_in_one(expected: Event, actual: Event) -> bool:
    """Return whether a statement takes a compiled function in one run, and not in the other."""
    for name in expected.changes.keys() | actual.changes.keys():
        given = [event.changes.get(name) for event in (expected, actual)]
        if sum(value is not None and _COMPILED.match(value.text) is not None for value in given) == 1:
            return True
    return False


def find_cut(events: Iterable[Event], argument: str) -> str:
    """Return how an argument cuts data: by the "size" of the pieces, or by the number of "parts".

    Empty if no statement that mentions it cuts data. A variable assigned from the argument counts as the argument.
    """
    names = {argument}
    for _, source in _each_line(events):
        for node in ast.walk(parse_statement(source)):
            if isinstance(node, ast.Assign) and _is_named(node.value, names):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif cut := _cut_by(node, names):
                return cut
    return ""


def _cut_by(node: ast.AST, names: set[str]) -> str:
    if isinstance(node, ast.Slice):
        # rows[start : start + size]
        end = node.upper
        if not (isinstance(end, ast.BinOp) and isinstance(end.op, ast.Add)):
            return ""
        return "size" if _is_named(end.left, names) or _is_named(end.right, names) else ""
    if not isinstance(node, ast.Call):
        return ""
    called = _name_of(node)
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    if called == "range":
        return "size" if len(node.args) == 3 and _is_named(node.args[2], names) else ""
    if called not in _CUTS or not any(_is_named(value, names) for value in given):
        return ""
    owner = getattr(getattr(node.func, "value", None), "id", "")
    return "parts" if called == "split" and owner in ("np", "numpy", "jnp") else _CUTS[called]


def _is_named(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_named(node.body, names) or _is_named(node.orelse, names)
    return isinstance(node, ast.Name) and node.id in names


def calls_in(source: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls in a statement, each with the name of the called function."""
    for node in ast.walk(parse_statement(source)):
        if isinstance(node, ast.Call) and (name := _name_of(node)):
            yield node, name


def _name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _makes_unfilled(source: str) -> bool:
    for node in ast.walk(parse_statement(source)):
        if isinstance(node, ast.Attribute) and node.attr in _UNFILLED:
            if node.attr != "empty" or (isinstance(node.value, ast.Name) and node.value.id in MODULES):
                return True
        elif isinstance(node, ast.Name) and node.id in _UNFILLED:
            return True
    return False


def parse_statement(source: str) -> ast.Module:
    """Parse a statement of a trace, of which a compound one has its first line alone. Empty if it is not valid."""
    text = textwrap.dedent(source).strip()
    for whole in (text, f"{text}\n    pass"):
        with suppress(SyntaxError, ValueError):
            return ast.parse(whole)
    return ast.Module([], [])
