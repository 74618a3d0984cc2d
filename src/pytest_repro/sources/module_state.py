"""What the user's modules, functions and environment hold: told apart before and after a run, and put back."""

from __future__ import annotations

import copy
import copyreg
import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pytest_repro import seeding
from pytest_repro.model import JSON
from pytest_repro.sources.fingerprints import CODE, fingerprint
from pytest_repro.sources.state_kinds import describe, kind_of
from pytest_repro.tracing.user_code import is_user_file

MAX_ENTRIES = 2000
#: Kinds of entries whose kind of state is known by that alone.
KINDS = {"environ": "environ", "cache": "cache", "default": "mutable_default"}


class Entry:
    """One place that holds state: how to read it, and how to put a value back."""

    def __init__(
        self, kind: str, name: str, get: Callable[[], Any], put: Callable[[Any], None], file: str = ""
    ) -> None:
        self.kind, self.name, self.get, self.put, self.file = kind, name, get, put, file


class ModuleState:
    """Everything that could leak from one run into the next, as it is now."""

    def __init__(self) -> None:
        self.entries = {entry.name: entry for entry in list(_entries())[:MAX_ENTRIES]}
        self.digests: dict[str, str] = {}
        self.copies: dict[str, Any] = {}
        self.info: dict[str, dict[str, JSON]] = {}
        for name, entry in self.entries.items():
            with suppress(Exception):
                value = entry.get()
                self.digests[name] = fingerprint(value)
                self.copies[name] = _copy(value)
                self.info[name] = describe(value)
        self.flags = seeding.save_state()

    def changed(self) -> list[dict[str, JSON]]:
        """Return what holds something else now, each with what tells of which kind it is."""
        found: list[dict[str, JSON]] = []
        for entry in list(_entries())[:MAX_ENTRIES]:
            before = self.digests.get(entry.name)
            with suppress(Exception):
                value = entry.get()
                if before == fingerprint(value):
                    continue
                was, now = self.info.get(entry.name, {}), describe(value, depth=0)
                found.append(
                    {
                        "name": entry.name,
                        "kind": KINDS.get(entry.kind) or kind_of(self.copies.get(entry.name), value, was),
                        "file": entry.file,
                        "was": str(was.get("text", "absent")),
                        "now": str(now.get("text", "")),
                    }
                )
        for flag in seeding.changed_flags(self.flags):
            found.append({"name": flag, "kind": "framework_flag", "file": "", "was": "", "now": ""})
        return found

    def restore(self, names: list[str]) -> None:
        """Give the places named what they held; a flag too."""
        for name in names:
            if name in self.entries:
                if name in self.copies:  # else it has no copy, and stays as it is
                    self.entries[name].put(_copy(self.copies[name]))
            elif (entry := next((e for e in _entries() if e.name == name), None)) is not None:
                entry.put(_ABSENT)
            else:
                seeding.restore_state(self.flags)


_ABSENT = object()


def _copy(value: Any) -> Any:
    """Copy a value; of a generator that has not begun, in it too, make another from its code and arguments.

    Raises
    ------
    TypeError
        If it cannot be copied, as a generator that has begun.
    """
    table = copyreg.dispatch_table
    table[types.GeneratorType] = _make_again
    try:
        return copy.deepcopy(value)
    finally:
        del table[types.GeneratorType]


def _make_again(generator: types.GeneratorType[Any, Any, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    code, frame = generator.gi_code, generator.gi_frame
    has_begun = inspect.getgeneratorstate(generator) != inspect.GEN_CREATED
    if frame is None or has_begun or code.co_freevars:
        raise TypeError("a generator that has begun has no copy")
    given = dict(frame.f_locals)
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    has_rest = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    if has_rest or sorted(names) != sorted(given):
        raise TypeError("a generator of any number of arguments has no copy")
    function = types.FunctionType(code, frame.f_globals)
    if code.co_kwonlyargcount:
        function.__kwdefaults__ = {name: copy.deepcopy(given[name]) for name in names[code.co_argcount :]}
    return function, tuple(given[name] for name in names[: code.co_argcount])


def _entries() -> Iterator[Entry]:
    for variable in set(os.environ):
        if not variable.startswith(("PYTEST_", "PYTHON")):
            yield Entry(
                "environ",
                f"os.environ[{variable!r}]",
                functools.partial(os.environ.get, variable),
                functools.partial(_put_variable, variable),
            )
    for module in [m for m in list(sys.modules.values()) if type(m) is types.ModuleType]:
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not is_user_file(file):
            continue
        for name, value in list(vars(module).items()):
            if name.startswith("__") or name.startswith("@py"):
                continue
            own = getattr(value, "__module__", None) == module.__name__
            if hasattr(value, "cache_info") and hasattr(value, "cache_clear"):
                yield Entry(
                    "cache",
                    f"{module.__name__}.{name}",
                    functools.partial(_cache, value),
                    functools.partial(_clear, value),
                    file,
                )
            elif isinstance(value, types.FunctionType) and own:
                yield from _of_function(value, f"{module.__name__}.{name}", file)
            elif isinstance(value, type) and own:
                yield from _of_class(value, f"{module.__name__}.{name}", file)
            elif not isinstance(value, CODE):
                yield Entry(
                    "global",
                    f"{module.__name__}.{name}",
                    functools.partial(vars(module).get, name),
                    functools.partial(_put_global, module, name),
                    file,
                )


def _of_function(function: types.FunctionType, name: str, file: str) -> Iterator[Entry]:
    if function.__defaults__:
        yield Entry(
            "default", f"{name}()", lambda: function.__defaults__, lambda v: setattr(function, "__defaults__", v), file
        )
    if function.__kwdefaults__:
        yield Entry(
            "default",
            f"{name}(*)",
            lambda: function.__kwdefaults__,
            lambda v: setattr(function, "__kwdefaults__", v),
            file,
        )
    if vars(function):
        yield Entry(
            "global",
            f"{name}.__dict__",
            lambda: vars(function),
            functools.partial(_put_attributes, function),
            file,
        )
    for cell_name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with suppress(ValueError):
            if not isinstance(cell.cell_contents, CODE):
                yield Entry(
                    "global",
                    f"{name}:{cell_name}",
                    functools.partial(getattr, cell, "cell_contents"),
                    functools.partial(setattr, cell, "cell_contents"),
                    file,
                )


def _put_attributes(function: types.FunctionType, value: dict[str, Any]) -> None:
    vars(function).clear()
    vars(function).update(value)


def _of_class(cls: type, name: str, file: str) -> Iterator[Entry]:
    for attribute, value in list(vars(cls).items()):
        if attribute.startswith("__") or isinstance(value, (staticmethod, classmethod, property)):
            continue
        if isinstance(value, types.FunctionType):
            yield from _of_function(value, f"{name}.{attribute}", file)
        elif not isinstance(value, CODE) and not hasattr(value, "__get__"):
            yield Entry(
                "global",
                f"{name}.{attribute}",
                functools.partial(getattr, cls, attribute),
                functools.partial(setattr, cls, attribute),
                file,
            )


def _put_variable(name: str, value: Any) -> None:
    if value is None or value is _ABSENT:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _put_global(module: types.ModuleType, name: str, value: Any) -> None:
    if value is _ABSENT:
        vars(module).pop(name, None)
        return
    now: Any = vars(module).get(name)
    # In place where it can be: other modules may have bound the same object.
    if isinstance(now, dict) and isinstance(value, dict):
        now.clear()
        now.update(value)
    elif isinstance(now, list) and isinstance(value, list):
        now[:] = value
    elif isinstance(now, set) and isinstance(value, set):
        now.clear()
        now.update(value)
    elif hasattr(now, "dtype") and hasattr(now, "tobytes") and getattr(now, "shape", 0) == getattr(value, "shape", 1):
        now[...] = value
    else:
        vars(module)[name] = value


def _cache(function: Any) -> tuple[int, int]:
    return int(function.cache_info().currsize), id(function) * 0


def _clear(function: Any, value: Any) -> None:
    function.cache_clear()
