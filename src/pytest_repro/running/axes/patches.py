"""Functions replaced for a while, also under the names that modules bound earlier."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
