"""Functions replaced for a while, also under the names that modules bound earlier."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def replace_everywhere(replacements: Mapping[int, tuple[Any, Any]]) -> Iterator[None]:
    """Replace objects in the global names of every loaded module, and put them back.

    ``from os import listdir`` binds a name of its own, which replacing ``os.listdir`` does not reach.

    Parameters
    ----------
    replacements : mapping of id(original) -> (original, replacement)
        The original is held in the value, so that its id stays its own.
    """
    for name, module in list(sys.modules.items()):
        if type(module) is ModuleType and not _is_left_alone(name):
            _swap(vars(module), lambda found: replacements.get(id(found), (None, None)))
    reverse = {id(new): (new, old) for old, new in replacements.values()}
    try:
        yield
    finally:
        # Searched anew: the run may have imported modules that bound the replacement.
        for module in list(sys.modules.values()):
            if type(module) is ModuleType:
                _swap(vars(module), lambda found: reverse.get(id(found), (None, None)))


def _is_left_alone(name: str) -> bool:
    """The C modules keep the real functions (the importer lists folders through them), and so does this package."""
    return name in ("posix", "nt", "_frozen_importlib", "_frozen_importlib_external") or name.startswith(
        "pytest_repro."
    )


def _swap(names: dict[str, Any], find: Callable[[Any], tuple[Any, Any]]) -> None:
    for name, found in list(names.items()):
        old, new = find(found)
        if old is found and new is not None:
            names[name] = new


class Patches(ExitStack):
    """Attributes replaced until the stack is left, and functions wherever they are bound."""

    def __init__(self) -> None:
        super().__init__()
        self.swaps: dict[int, tuple[Any, Any]] = {}

    def swap(self, old: Any, new: Any) -> None:
        """Have a function replaced under every name; all at once, since that looks through every module."""
        self.swaps[id(old)] = (old, new)

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Replace one attribute at once."""
        original = getattr(owner, name)
        setattr(owner, name, value)
        self.callback(setattr, owner, name, original)


class StandIn:
    """A call in place of another, equal to it: numba finds what it can compile by equality, and compiles the real one.

    Parameters
    ----------
    real : callable
    call : callable
        Called instead, with the same arguments.
    """

    def __init__(self, real: Callable[..., Any], call: Callable[..., Any]) -> None:
        self._real, self._call = real, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return bool(self._real == (other._real if isinstance(other, StandIn) else other))

    def __hash__(self) -> int:
        return hash(self._real)

    def __getattr__(self, name: str) -> Any:
        if name in ("_real", "_call"):  # a copy in the making has neither yet
            raise AttributeError(name)
        return getattr(self._real, name)
