"""From a type to the handler that captures it, found once per type."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from enum import Enum

from pytest_repro.frameworks import VALUE_ADAPTERS, stdlib_values
from pytest_repro.frameworks.base_values import Branch, Captured, Droppable, Handler, NotComparableError
from pytest_repro.model import Leaf

#: Exact type -> handler; filled on first sight of a type, read once per value.
exact: dict[type, Handler] = {}
#: The same for local variables of a test: only data, and containers of data.
exact_data: dict[type, Handler] = {}

_bases: dict[type, Handler] = {}
_bases_data: dict[type, Handler] = {}
#: Finders of types that no base class tells; those of frameworks before the one for dataclasses and mappings.
_protocols: list[Callable[[type], Handler | None]] = [stdlib_values.find_by_protocol]
#: Types whose subclasses have a handler of their own.
_exact_only: dict[type, Handler] = {}
_loaded: set[str] = set()
_broken: dict[str, str] = {}


def refresh() -> None:
    """Load the adapters of frameworks imported since the last capture."""
    for framework, module in VALUE_ADAPTERS.items():
        if framework not in _loaded and sys.modules.get(framework) is not None:
            _loaded.add(framework)
            try:
                adapter = importlib.import_module(f"pytest_repro.frameworks.{module}")
            except Exception as error:  # a stub or a half-installed framework: its values are refused, others are not
                _broken[framework] = f"{type(error).__name__}: {error}"
                continue
            _register(adapter.HANDLERS, adapter.EXTRAS, adapter.SUBCLASS_HANDLERS)
            if hasattr(adapter, "find_by_protocol"):
                _protocols.insert(0, adapter.find_by_protocol)


def _register(handlers: dict[type, Handler], extras: dict[type, Handler], subclasses: dict[type, Handler]) -> None:
    exact.clear()
    exact_data.clear()
    _bases.update({**handlers, **extras})
    _bases_data.update(handlers)
    _exact_only.update({kind: handlers[kind] for kind in subclasses})
    _bases.update(subclasses)
    _bases_data.update(subclasses)


def find_handler(kind: type) -> Handler:
    """Find the handler of any type; one that refuses, if there is no other."""
    handler = _find(kind, _bases)
    if handler is None:
        handler = _refuse
    exact[kind] = handler
    return handler


def find_data_handler(kind: type) -> Handler:
    """Find the handler of a type that is data; all else is refused."""
    handler = _find(kind, _bases_data)
    if handler is None or issubclass(kind, Enum):
        handler = _refuse
    exact_data[kind] = handler
    return handler


def _find(kind: type, bases: dict[type, Handler]) -> Handler | None:
    if kind in _exact_only:
        return _exact_only[kind]
    if issubclass(kind, Enum):  # before its mixed-in int or str, which would hide the member's name
        return stdlib_values.capture_enum
    for base in kind.__mro__[:-1]:
        if base in bases:
            return bases[base]
    return next((handler for find in _protocols if (handler := find(kind)) is not None), None)


def _refuse(value: object) -> Captured:
    reason = stdlib_values.explain_refusal(type(value))
    broken = _broken.get(type(value).__module__.partition(".")[0])
    raise NotComparableError(f"{reason} (the adapter could not be loaded: {broken})" if broken else reason)


def _keep(value: Captured) -> Captured:
    """Take what an adapter made already."""
    return value


_register(
    {**stdlib_values.HANDLERS, Leaf: _keep, Branch: _keep, Droppable: _keep},
    stdlib_values.EXTRAS,
    stdlib_values.SUBCLASS_HANDLERS,
)
refresh()
