"""Functions, attributes and environment variables replaced for a while, and restored afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any


@contextmanager
def replace_everywhere(replacements: Mapping[int, tuple[Any, Any]]) -> Iterator[None]:
    """Replace objects in the global names of every loaded module, and restore them afterwards.

    ``from os import listdir`` binds a name of its own, which replacing ``os.listdir`` does not reach.

    Parameters
    ----------
    replacements : mapping of id(original) -> (original, replacement)
        The value refers to the original, so that no other object gets its id.
    """
    for names, name in _find_places(replacements):
        old, new = replacements.get(id(names.get(name)), (None, None))
        if new is not None and names[name] is old:
            names[name] = new
    reverse = {id(new): (new, old) for old, new in replacements.values()}
    try:
        yield
    finally:
        # Searched again: the run may have imported modules that bound the replacement.
        for module in list(sys.modules.values()):
            if type(module) is ModuleType:
                _swap(vars(module), lambda found: reverse.get(id(found), (None, None)))


#: A global name: its module's names, and the name.
_Place = tuple[dict[str, Any], str]


@dataclass(slots=True)
class _Known:
    """What a server found for its forks: where some objects are bound, and the number of modules then."""

    is_open: bool = False
    places: dict[int, list[_Place]] = field(default_factory=dict)
    modules: int = 0


_known = _Known()


@contextmanager
def remember_places() -> Iterator[None]:
    """Remember where objects are found, for the first search of each process that is forked after this.

    A search reads every object of every module. Counting the reference writes to it, so a fork would copy all memory.
    """
    _known.places, _known.modules, _known.is_open = {}, len(sys.modules), True
    try:
        yield
    finally:
        _known.is_open = False


def _find_places(objects: Mapping[int, object]) -> list[_Place]:
    """Return where objects of these ids are bound."""
    if not _known.is_open and _known.modules == len(sys.modules) and objects.keys() <= _known.places.keys():
        # Only once: the run that follows may bind other names. They are kept: where memory was freed before a run, new
        # objects are at the same addresses in each fork, whatever moves the others.
        _known.modules = 0
        return [place for key in objects for place in _known.places[key]]
    found: dict[int, list[_Place]] = {key: [] for key in objects}
    for module_name, module in list(sys.modules.items()):
        if type(module) is ModuleType and not _is_excluded(module_name):
            names = vars(module)
            for name, value in list(names.items()):
                if id(value) in found:
                    found[id(value)].append((names, name))
    if _known.is_open:
        _known.places.update(found)
    return [place for places in found.values() for place in places]


def _is_excluded(name: str) -> bool:
    # The C modules keep the real functions, through which the import system lists folders, and so does this package.
    return name in ("posix", "nt", "_frozen_importlib", "_frozen_importlib_external") or name.startswith(
        "pytest_repro."
    )


def _swap(names: dict[str, Any], find: Callable[[Any], tuple[Any, Any]]) -> None:
    for name, found in list(names.items()):
        old, new = find(found)
        if old is found and new is not None:
            names[name] = new


class Patches(ExitStack):
    """Attributes replaced until the stack is closed, and a list of functions to replace everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.swaps: dict[int, tuple[Any, Any]] = {}

    def swap(self, old: Any, new: Any) -> None:
        """Add a function to `swaps`, which :func:`replace_everywhere` takes in one go, since it visits every module."""
        self.swaps[id(old)] = (old, _named_as(old, new))

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Replace one attribute immediately."""
        original = getattr(owner, name)
        setattr(owner, name, _named_as(original, value))
        self.callback(setattr, owner, name, original)


def _named_as(old: Any, new: Any) -> Any:
    """Give a function the name of the one that it replaces: pytest-benchmark and pickle look functions up by name."""
    if isinstance(new, FunctionType):
        for attribute in ("__module__", "__name__", "__qualname__"):
            if isinstance(name := getattr(old, attribute, None), str):
                setattr(new, attribute, name)
    return new


class Replacement:
    """Callable that replaces another and compares equal to it.

    numba finds the functions that it can compile by equality, so it still compiles the real one.

    Parameters
    ----------
    real : callable
    call : callable
        Called in place of `real`, with the same arguments.
    """

    def __init__(self, real: Callable[..., Any], call: Callable[..., Any]) -> None:
        self._real, self._call = real, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return bool(self._real == (other._real if isinstance(other, Replacement) else other))

    def __hash__(self) -> int:
        return hash(self._real)

    def __getattr__(self, name: str) -> Any:
        if name in ("_real", "_call"):  # copy.copy asks for attributes before it has set these two
            raise AttributeError(name)
        return getattr(self._real, name)


@contextmanager
def set_variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables (``None`` unsets one), and restore those that still are as they were set.

    Another value is a change by the test, which lasts as it does without the axis.
    """
    before = {name: os.environ.get(name) for name in values}
    _write(values)
    try:
        yield
    finally:
        _write({name: text for name, text in before.items() if os.environ.get(name) == values[name]})


def _write(values: Mapping[str, str | None]) -> None:
    for name, text in values.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text
