"""State of the user's modules, functions and environment: compared before and after a run, and restored."""

from __future__ import annotations

import copy
import copyreg
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from pytest_repro import seeding
from pytest_repro.axes.patches import Replacement
from pytest_repro.capturing.fingerprints import CODE, fingerprint
from pytest_repro.model import JSON
from pytest_repro.sources.state_kinds import describe, kind_of
from pytest_repro.tracing.user_code import is_user_file

#: A session of 300 test modules has some 2,500 places.
MAX_ENTRIES = 20_000
#: Kind of an entry -> kind of its state, where that follows.
KINDS = {"environ": "environ", "cache": "cache", "default": "mutable_default"}


class Entry(NamedTuple):
    """One place that holds state, with how to read and to write it."""

    kind: str
    name: str
    get: Callable[[], Any]
    put: Callable[[Any], None]
    file: str = ""


class ModuleState:
    """Everything that could leak from one run into the next, as it is now."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._beyond = set[str]()
        self.digests: dict[str, str] = {}
        self.copies: dict[str, Any] = {}
        self.info: dict[str, dict[str, JSON]] = {}
        self.renew()
        self.flags: seeding.State = seeding.save_state()

    def renew(self) -> None:
        """Record the state again, as fixtures have left it that are set up once for several runs.

        Flags stay as they were: a condition, which the runs leave again, may have set some.
        """
        entries = list(_entries())
        self._beyond = {entry.name for entry in entries[MAX_ENTRIES:]} - self.entries.keys()
        for entry in entries[:MAX_ENTRIES]:
            name = entry.name
            self.entries.setdefault(name, entry)
            with suppress(Exception):
                value = entry.get()
                if isinstance(value, Replacement):
                    continue  # put there for the time of the run
                self.digests[name] = fingerprint(value)
                self.copies[name] = copy_value(value)
                self.info[name] = describe(value)

    def changed(self) -> list[dict[str, JSON]]:
        """Return the places whose content has changed, each with its kind of state."""
        found: list[dict[str, JSON]] = []
        # A place of which nothing is recorded is not taken for a new one.
        for entry in [entry for entry in _entries() if entry.name not in self._beyond][: 2 * MAX_ENTRIES]:
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

    def find_holders(self, ids: set[int]) -> set[str]:
        """Return the places of modules whose own object is one of these."""
        found = set()
        for name, entry in self.entries.items():
            with suppress(Exception):
                if id(entry.get()) in ids:
                    found.add(name)
        return found

    def restore(self, names: list[str]) -> None:
        """Restore the content of these places, and of flags."""
        for name in names:
            if name in self._beyond:
                continue  # nothing is recorded of it, and to take it for new would remove it
            if name in self.entries:
                if name in self.copies:  # a value that cannot be copied stays as it is
                    self.entries[name].put(copy_value(self.copies[name]))
            elif (entry := next((e for e in _entries() if e.name == name), None)) is not None:
                entry.put(_ABSENT)
            else:
                seeding.restore_state(self.flags)


_ABSENT = object()


def copy_value(value: Any) -> Any:
    """Copy a value. A generator in it that has not begun is made again from its code and arguments.

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
            get, put = partial(os.environ.get, variable), partial(_put_variable, variable)
            yield Entry("environ", f"os.environ[{variable!r}]", get, put)
    for module in [m for m in list(sys.modules.values()) if type(m) is types.ModuleType]:
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_user_file(file):
            yield from _of_module(module, file)


def _of_module(module: types.ModuleType, file: str) -> Iterator[Entry]:
    for name, value in list(vars(module).items()):
        if name.startswith(("__", "@py")):
            continue
        full = f"{module.__name__}.{name}"
        is_own = getattr(value, "__module__", None) == module.__name__
        if hasattr(value, "cache_info") and hasattr(value, "cache_clear"):
            yield Entry("cache", full, partial(_size_of_cache, value), partial(_clear, value), file)
        elif isinstance(value, types.FunctionType) and is_own:
            yield from _of_function(value, full, file)
        elif isinstance(value, type) and is_own:
            yield from _of_class(value, full, file)
        elif not isinstance(value, CODE):
            yield Entry("global", full, partial(vars(module).get, name), partial(_put_global, module, name), file)


def _of_function(function: types.FunctionType, name: str, file: str) -> Iterator[Entry]:
    if function.__defaults__:
        yield _of_attribute("default", f"{name}()", function, "__defaults__", file)
    if function.__kwdefaults__:
        yield _of_attribute("default", f"{name}(*)", function, "__kwdefaults__", file)
    if vars(function):
        yield Entry("global", f"{name}.__dict__", partial(vars, function), partial(_put_attributes, function), file)
    for cell_name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with suppress(ValueError):
            if not isinstance(cell.cell_contents, CODE):
                yield _of_attribute("global", f"{name}:{cell_name}", cell, "cell_contents", file)


def _of_class(cls: type, name: str, file: str) -> Iterator[Entry]:
    for attribute, value in list(vars(cls).items()):
        if attribute.startswith("__") or isinstance(value, (staticmethod, classmethod, property)):
            continue
        if isinstance(value, types.FunctionType):
            yield from _of_function(value, f"{name}.{attribute}", file)
        elif not isinstance(value, CODE) and not hasattr(value, "__get__"):
            yield _of_attribute("global", f"{name}.{attribute}", cls, attribute, file)


def _of_attribute(kind: str, name: str, owner: object, attribute: str, file: str) -> Entry:
    return Entry(kind, name, partial(getattr, owner, attribute), partial(setattr, owner, attribute), file)


def _put_attributes(function: types.FunctionType, value: dict[str, Any]) -> None:
    vars(function).clear()
    vars(function).update(value)


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


def _size_of_cache(function: Any) -> int:
    return int(function.cache_info().currsize)


def _clear(function: Any, value: Any) -> None:
    function.cache_clear()
