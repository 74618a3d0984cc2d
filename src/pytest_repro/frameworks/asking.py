"""The question to other plugins and conftest files how a value of a type of theirs is captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The innermost session's hook comes last: a test of a plugin runs sessions within its own.
_hooks: list[Callable[..., Any]] = []
#: Implementations of the hook that come with this package, asked after all others.
_own: list[Callable[[Any], Any]] = []


def begin(hook: Callable[..., Any]) -> Callable[[], None]:
    """Ask a session's hook ``pytest_repro_capture(value=...)`` from now on, and return the function that ends this."""
    _hooks.append(hook)

    def end() -> None:
        if hook in _hooks:
            _hooks.remove(hook)

    return end


def ask(value: Any) -> Any:
    """Return the tree of known values that stands for a value, or None if nobody has one."""
    tree = _hooks[-1](value=value) if _hooks else None
    if tree is None and _own:
        return next((tree for capture in _own if (tree := capture(value)) is not None), None)
    return tree


def add_own(capture: Callable[[Any], Any]) -> None:
    """Ask one of this package's own adapters, too, in and outside of sessions."""
    _own.append(capture)
