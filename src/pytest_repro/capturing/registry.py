"""Adapters of the imported frameworks, and the handler or reader of a type that they register."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from enum import Enum
from types import ModuleType
from typing import Any

from pytest_repro.frameworks import (
    VALUE_ADAPTERS,
    asking,
    class_values,
    compiled_values,
    function_values,
    object_values,
    resource_values,
    stdlib_values,
)
from pytest_repro.frameworks.attributes import is_importable, mro_of, name_of, origin_of, package_of
from pytest_repro.frameworks.base_values import CONVERTED, Branch, Captured, Handler, NotComparableError, Reader
from pytest_repro.model import Leaf

#: Exact type -> handler, filled at the first value of a type.
exact: dict[type, Handler] = {}
#: The same for local variables of a test, where objects that no adapter knows are not looked into.
exact_data: dict[type, Handler] = {}


def _keep(value: Captured) -> Captured:
    """Return a value that an adapter has already converted."""
    return value


_bases: dict[type, Handler] = dict.fromkeys(CONVERTED, _keep)
#: Types of classes, and those whose classes may hold a state: there is code of the user's among them.
with_class_state: set[type] = set()
#: Those of the types above that a test has made.
_made: list[type] = []
#: Flag of a type that was made at run time.
_HEAP_TYPE = 1 << 9
#: Types whose subclasses have a handler of their own.
_exact_only: dict[type, Handler] = {}
#: Types whose handlers read all that a subclass adds.
_complete: set[type] = set()
#: Finders of types that no base class identifies. Those of frameworks come before that of dataclasses and mappings.
_protocols: list[Callable[[type], Handler | None]] = []
#: Library -> implementation of the hook ``pytest_repro_capture`` that comes with this package.
_own_hooks: dict[str, Callable[[Any], Any]] = {}

#: By the type's id: a type's metaclass may define what its hash is.
_readers: dict[int, Reader] = {}
_exact_readers: dict[int, Reader] = {}
_reader_protocols: list[Callable[[str], Reader | None]] = []
_readable: list[str] = []
#: Called when an adapter was loaded, because a type may have another reader now.
on_load: list[Callable[[], None]] = []

_loaded: set[str] = set()
_broken: dict[str, str] = {}


def refresh() -> None:
    """Load the adapters of frameworks that were imported since the last call."""
    for framework, module in VALUE_ADAPTERS.items():
        if framework in _loaded or not _is_imported(framework):
            continue
        _loaded.add(framework)
        try:
            _register(importlib.import_module(f"pytest_repro.frameworks.{module}"))
        except Exception as error:  # a stub or a half-installed framework: its values are rejected, others are not
            _broken[framework.partition(".")[0]] = f"{type(error).__name__}: {error}"


def _is_imported(name: str) -> bool:
    """Check whether a module is imported, and not still being imported."""
    module = sys.modules.get(name)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def _register(adapter: ModuleType) -> None:
    exact.clear()
    exact_data.clear()
    handlers: dict[type, Handler] = getattr(adapter, "HANDLERS", {})
    subclasses: dict[type, Handler] = getattr(adapter, "SUBCLASS_HANDLERS", {})
    _bases.update({**handlers, **subclasses})
    _exact_only.update({kind: handlers[kind] for kind in subclasses})
    _complete.update(getattr(adapter, "COMPLETE", ()))
    if hasattr(adapter, "pytest_repro_capture"):
        _own_hooks[adapter.LIBRARY] = adapter.pytest_repro_capture
    if hasattr(adapter, "find_by_protocol"):
        _protocols.insert(0, adapter.find_by_protocol)
    _readers.update({id(kind): reader for kind, reader in getattr(adapter, "READERS", {}).items()})
    _exact_readers.update({id(kind): reader for kind, reader in getattr(adapter, "EXACT_READERS", {}).items()})
    if hasattr(adapter, "find_reader"):
        _reader_protocols.append(adapter.find_reader)
    _readable.extend(getattr(adapter, "READABLE", ()))
    for notify in on_load:
        notify()


def find_handler(kind: type) -> Handler:
    """Find the handler of a type, or one that rejects its values."""
    handler = _find(kind) or object_values.find_for_object(kind) or _refuse
    handler = exact[kind] = handler if kind in _bases else _ask_first(kind, handler)
    _note_made(kind)
    if issubclass(kind, type) or class_values.user_classes(kind):
        with_class_state.add(kind)
    return handler


def is_captured_by_attributes(kind: type) -> bool:
    """Return whether a class is one that no adapter knows, whose instances are captured by their attributes."""
    refresh()
    return _find(kind) is None and object_values.find_for_object(kind) is object_values.capture_object


def find_data_handler(kind: type) -> Handler:
    """Find the handler of a type among local variables, or one that rejects its values."""
    handler = _find(kind) or _refuse
    handler = exact_data[kind] = handler if kind in _bases else _ask_first(kind, handler)
    _note_made(kind)
    return handler


def _note_made(kind: type) -> None:
    # Types of compiled code are there for good, although those of None and of functions have no name to import.
    if kind.__flags__ & _HEAP_TYPE and not is_importable(kind):
        _made.append(kind)


def forget_made_types() -> None:
    """Forget the types that a test has made: what their methods have closed over must not outlive the test."""
    while _made:
        kind = _made.pop()
        exact.pop(kind, None)
        exact_data.pop(kind, None)
        with_class_state.discard(kind)


def _find(kind: type) -> Handler | None:
    if kind in _exact_only:
        return _exact_only[kind]
    if issubclass(kind, Enum):  # before its mixed-in int or str, which would hide the member's name
        return stdlib_values.capture_enum
    for base in kind.__mro__[:-1]:
        if base in _bases:
            is_known = base is kind or base in _complete
            return _bases[base] if is_known else object_values.with_additions(_bases[base], base, kind)
    return next((handler for find in _protocols if (handler := find(kind)) is not None), None)


def _refuse(value: object) -> Captured:
    reason = stdlib_values.explain_refusal(type(value))
    broken = _broken.get(type(value).__module__.partition(".")[0])
    raise NotComparableError(f"{reason} (the adapter could not be loaded: {broken})" if broken else reason)


def _ask_first(kind: type, handler: Handler) -> Handler:
    """Return a handler that first asks other plugins and conftest files for a tree in place of a value.

    Then it asks the implementations of the hook that come with this package, if one knows the library of a class.
    """
    packages = dict.fromkeys(map(package_of, mro_of(kind)))
    own_hook = next((_own_hooks[package] for package in packages if package in _own_hooks), None)

    def capture(value: Any) -> Captured:
        tree = asking.ask(value)
        is_own = tree is None
        if is_own and own_hook is not None:
            tree = own_hook(value)
        if tree is None:
            return handler(value)
        kind, name = type(tree), type(value).__name__
        if tree is value or kind is type(value):
            raise NotComparableError(f"pytest_repro_capture returned a {name} for it; return values of known types")
        captured = (exact.get(kind) or find_handler(kind))(tree)
        if isinstance(captured, (Leaf, Branch)):
            captured.type_name = name
        if isinstance(captured, Branch):
            captured.whole = True  # all of it is data, also among local variables
        return object_values.add_attributes(value, captured) if is_own else captured

    return capture


def find_reader(kind: type) -> Reader | None:
    """Find the reader that an adapter has for a type, without a call to the type's metaclass."""
    if (reader := _exact_readers.get(id(kind))) is not None:
        return reader
    if issubclass(kind, Enum):
        return _readers[id(Enum)]
    for base in mro_of(kind):
        if (reader := _readers.get(id(base))) is not None:
            return reader
    name = f"{origin_of(kind)}.{name_of(kind)}"
    return next((reader for find in _reader_protocols if (reader := find(name)) is not None), None)


def is_readable_library(origin: str) -> bool:
    """Check whether a module belongs to a library whose objects keep their state in plain attributes."""
    return origin.startswith(tuple(_readable))


for _adapter in (stdlib_values, compiled_values, function_values, class_values, object_values, resource_values):
    _register(_adapter)
refresh()
