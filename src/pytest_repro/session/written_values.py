"""Values of built-in types as source, from which another process makes equal ones."""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from pytest_repro.errors import ReproError

#: Module of a notebook's cells and of a script.
MAIN = "__main__"
#: Longest constant that is written into the source [characters].
MAX_CONSTANT = 200_000
_NESTED = (list, dict, set, frozenset, tuple)
_PLAIN = (bool, int, str, bytes, type(None), type(Ellipsis))


class NotSendableError(ReproError):
    """A function cannot be run in another process, since something that it needs cannot be written down.

    Common causes: a lambda, a function inside another one, a data frame or a model in a variable of the notebook.
    """


def find_home(value: Any) -> tuple[str, str] | None:
    """Return the module and the name under which another process finds a function, a class or an object."""
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not name.isidentifier() or module == MAIN:
        return None
    if getattr(sys.modules.get(module), name, None) is value:
        return module, name
    return None


def is_plain(value: Any) -> bool:
    """Return whether a value is of a built-in type, whatever it contains."""
    return type(value) in (*_PLAIN, *_NESTED, float)


def expression_of(value: Any, where: str) -> str:
    """Return an argument of built-in types as source.

    Raises
    ------
    NotSendableError
        If it is of another type.
    """
    return write_constant(value, where, "the call", {})


def write_constant(value: Any, name: str, where: str, shared: dict[int, str]) -> str:
    """Return an expression of a value of built-in types, nested at will.

    `shared` has the containers that were written before, by their identity.
    """
    try:
        text = _expression(value, 0)
    except (TypeError, RecursionError):
        raise NotSendableError(
            f"{where} reads {name!r}, a {type(value).__module__}.{type(value).__qualname__}, "
            "which cannot be sent to another process: make or load it inside the function"
        ) from None
    if len(text) > MAX_CONSTANT:
        raise NotSendableError(f"{where} reads {name!r}, which is too long to be sent: load it inside the function")
    for container in _containers(value):
        if id(container) in shared:
            raise NotSendableError(
                f"{shared[id(container)]} and {name} have an object in common, and would have two in another process: "
                "make them inside the function"
            )
        shared[id(container)] = name
    return text


def _containers(value: Any) -> Iterator[Any]:
    """Return the containers in a value that can be changed in place."""
    if type(value) in (list, dict, set):
        yield value
    if type(value) is dict:
        value = (*value, *value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _containers(part)


def _expression(value: Any, depth: int) -> str:
    if depth > 50:
        raise TypeError("nested too deeply")
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if kind is complex:
        return f"complex({_expression(value.real, depth)}, {_expression(value.imag, depth)})"
    if isinstance(value, PurePath) and kind.__module__.startswith("pathlib"):
        return f"__import__('pathlib').{kind.__name__}({str(value)!r})"
    if kind is dict:
        pairs = [f"{_expression(key, depth + 1)}: {_expression(part, depth + 1)}" for key, part in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if kind in (list, tuple, set, frozenset):
        inner = ", ".join(_expression(part, depth + 1) for part in value)
        if kind is list:
            return f"[{inner}]"
        return f"({inner}{',' if value else ''})" if kind is tuple else f"{kind.__name__}([{inner}])"
    if (home := find_home(value)) is not None and home[0] == builtins.__name__:
        return home[1]
    raise TypeError(kind)
