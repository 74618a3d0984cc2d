"""The values that a cell reads, by which it is noticed that one run changed what the next begins with."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.errors import ReproError
from pytest_repro.session.sent_source import names_read

#: Names of IPython's own, which are no data of the notebook.
_SHELL = {"get_ipython", "In", "Out", "_", "__", "___", "exit", "quit"}


class State:
    """The values that a cell reads, by which a change between two runs is noticed."""

    def __init__(self, names: Iterable[str], namespace: Mapping[str, Any]) -> None:
        self._values = dict(_values_read(names, namespace, set()))
        self.unread: list[str] = []
        self._streams: list[str] = []
        self._digests: dict[str, str] = {}
        for name, value in self._values.items():
            try:
                self._digests[name] = _digest(value)
            except (ReproError, RecursionError):
                if hasattr(value, "__next__"):
                    self._streams.append(name)
                else:
                    kind = type(value).__qualname__
                    self.unread.append(f"{name} ({kind}) cannot be compared, so a change of it would not be noticed")

    def find_changed(self) -> list[str]:
        """Return the names of values that are not as they were. What is used up by reading counts as changed."""
        changed = [name for name, before in self._digests.items() if _digest_again(self._values[name]) != before]
        return self._streams + changed


def _digest(value: Any) -> str:
    return digest(capture_tree(value, root="value", top_level=False, copy=False))


def _digest_again(value: Any) -> str:
    try:
        return _digest(value)
    except (ReproError, RecursionError):
        return ""


def _values_read(names: Iterable[str], namespace: Mapping[str, Any], seen: set[str]) -> Iterator[tuple[str, Any]]:
    """Return variables with those that are read by the functions and classes of the notebook among them."""
    for name in names:
        if name in seen or name not in namespace or name in _SHELL:
            continue
        seen.add(name)
        value = namespace[name]
        if not isinstance(value, types.ModuleType | type | types.FunctionType | types.BuiltinFunctionType):
            yield name, value
        kind = value if isinstance(value, type) else type(value)
        for function in _functions_of(value, kind):
            if function.__globals__ is namespace:
                yield from _values_read(names_read(function.__code__), namespace, seen)
                yield from _values_held(name, function)


def _functions_of(value: Any, kind: type) -> list[types.FunctionType]:
    own = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
    parts = [own, *(vars(kind).values() if kind.__module__ == "__main__" else ())]
    return [part for part in parts if isinstance(part, types.FunctionType)]


def _values_held(name: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Return the values that a function keeps from call to call."""
    if function.__defaults__ or function.__kwdefaults__:
        yield f"the defaults of {name}", [function.__defaults__, function.__kwdefaults__]
    if function.__closure__:
        cells = [cell.cell_contents for cell in function.__closure__ if not _is_empty(cell)]
        yield f"the variables around {name}", [each for each in cells if not callable(each)]
    if vars(function):
        yield f"the attributes of {name}", {key: part for key, part in vars(function).items() if key != "__wrapped__"}


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is None
    except ValueError:
        return True
