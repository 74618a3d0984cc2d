"""The question to other plugins and conftest files how a value of a type of theirs is captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The innermost session's hook comes last: a test of a plugin runs sessions within its own.
_hooks: list[Callable[..., Any]] = []


def begin(hook: Callable[..., Any]) -> Callable[[], None]:
    """Ask a session's hook ``pytest_repro_capture(value=...)`` from now on, and return the function that ends this."""
    _hooks.append(hook)

    def end() -> None:
        if hook in _hooks:
            _hooks.remove(hook)

    return end


def ask(value: Any) -> Any:
    """Return the tree of known values that stands for a value, or None if nobody has one."""
    return _hooks[-1](value=value) if _hooks else None
