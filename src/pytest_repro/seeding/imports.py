"""Listeners that are called right after the first import of a framework."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

from pytest_repro.frameworks import STATE_ADAPTERS
from pytest_repro.frameworks.base_state import StateAdapter, load_adapter

#: Called with the adapter of the framework that was just imported.
Listener = Callable[[StateAdapter], None]
_Path = Sequence[str] | None


@contextlib.contextmanager
def when_imported(listener: Listener, *, first: bool = False) -> Iterator[None]:
    """Within the context, call the listener after each first import of a framework that has a state adapter."""
    add_listener(listener, first=first)
    try:
        yield
    finally:
        remove_listener(listener)


def add_listener(listener: Listener, *, first: bool = False) -> None:
    """Add a listener, after the others or before them."""
    _watcher.listeners.insert(0 if first else len(_watcher.listeners), listener)
    if _watcher not in _finders():
        # In front, because the first finder that finds the framework ends the search.
        _finders().insert(0, _watcher)


def remove_listener(listener: Listener) -> None:
    """Remove a listener. Without listeners ``sys.meta_path`` is unchanged."""
    _watcher.listeners.remove(listener)
    if not _watcher.listeners and _watcher in _finders():
        _finders().remove(_watcher)


def _finders() -> list[Any]:
    """Return ``sys.meta_path`` as a list of Any: its declared element type takes 15 ms to import."""
    return sys.meta_path


class _Watcher:
    """Finder that delegates to the other finders and wraps the loader that they return."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def find_spec(self, fullname: str, path: _Path, target: ModuleType | None = None) -> ModuleSpec | None:
        # A module in sys.modules is being reloaded, and its generators have been seeded already.
        if fullname not in STATE_ADAPTERS or fullname in sys.modules:
            return None
        spec = _find_elsewhere(fullname, path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = cast(Any, _NotifyingLoader(spec.loader, self))
        return spec


def _find_elsewhere(fullname: str, path: _Path, target: ModuleType | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        if isinstance(finder, _Watcher) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None


class _NotifyingLoader:
    """Replacement for a loader, removed from the module before the module is executed."""

    def __init__(self, loader: Any, watcher: _Watcher) -> None:
        self._loader = loader
        self._watcher = watcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec) if hasattr(self._loader, "create_module") else None

    def exec_module(self, module: ModuleType) -> None:
        # Restore the real loader first: resources, sources and pickles are read through these attributes.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        if self._watcher.listeners:
            adapter = load_adapter(module.__name__)
            for listener in list(self._watcher.listeners):
                listener(adapter)


_watcher = _Watcher()
