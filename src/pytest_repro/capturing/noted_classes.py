"""The classes of the objects in a tree, each of which is captured once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from pytest_repro.frameworks.class_values import read_class, user_classes


class NotedClasses:
    """Classes of the user's own, in the order in which a walk meets them."""

    def __init__(self) -> None:
        #: Whether only a library's bookkeeping refers to a class.
        self._is_internal: dict[type, bool] = {}

    def note(self, value: Any, kind: type, *, is_internal: bool) -> None:
        """Note the class of a value, or a class that is a value, with its bases."""
        noted = value if isinstance(value, type) else kind
        if noted is not type and self._is_internal.get(noted, True):
            for base in user_classes(noted):
                self._is_internal[base] = self._is_internal.get(base, True) and is_internal

    def read(self) -> Iterator[tuple[str, list[tuple[str, Any]], bool]]:
        """Yield a name, what the class holds, and whether only a library's bookkeeping refers to it.

        Classes that are noted meanwhile come last.
        """
        done: set[type] = set()
        names: set[str] = set()
        while pending := [kind for kind in self._is_internal if kind not in done]:
            for kind in pending:
                done.add(kind)
                if children := read_class(kind):
                    name = _unused_name(f"class {kind.__qualname__}", names)
                    names.add(name)
                    yield name, children, self._is_internal[kind]


def _unused_name(title: str, used: set[str]) -> str:
    """Return a title with a number, if a class of the same name has it: a function may make several."""
    numbered = (f"{title} {number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([title], numbered) if name not in used)
