"""What the user's modules, functions and environment hold: told apart before and after a run, and put back."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pytest_repro import seeding
from pytest_repro.model import JSON
from pytest_repro.running.probes.frames import is_users_file

MOST_ENTRIES = 2000
MOST_DEPTH = 6
MOST_ITEMS = 1000
MOST_BYTES = 64 * 2**20

_PLAIN = (int, float, complex, bool, str, bytes, type(None))
_CODE = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def fingerprint(value: Any) -> str:
    """Return a digest of a value's content; what cannot be looked into counts by its type alone."""
    state = hashlib.blake2b(digest_size=12)
    _feed(state, value, MOST_DEPTH, set())
    return state.hexdigest()


def _feed(state: Any, value: Any, depth: int, seen: set[int]) -> None:
    state.update(f"<{type(value).__qualname__}>".encode())
    if isinstance(value, _PLAIN):
        state.update(repr(value).encode("utf-8", "backslashreplace"))
        return
    if depth == 0 or id(value) in seen or isinstance(value, _CODE):
        return
    seen = seen | {id(value)}
    if isinstance(value, dict):
        for key, item in list(value.items())[:MOST_ITEMS]:
            _feed(state, key, depth - 1, seen)
            _feed(state, item, depth - 1, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in list(value)[:MOST_ITEMS]:
            _feed(state, item, depth - 1, seen)
    elif (data := _array_bytes(value)) is not None:
        state.update(data)
    else:
        for part in _parts(value):
            _feed(state, part, depth - 1, seen)


def _array_bytes(value: Any) -> bytes | None:
    """Return the content of an array or tensor."""
    with suppress(Exception):
        if hasattr(value, "detach") and hasattr(value, "numpy"):
            value = value.detach().cpu().numpy()
        if hasattr(value, "tobytes") and hasattr(value, "dtype") and value.dtype.kind != "O":
            return bytes(f"{value.dtype}{value.shape}".encode() + value.tobytes()[:MOST_BYTES])
    return None


def _parts(value: Any) -> Iterator[Any]:
    frame = getattr(value, "gi_frame", None)
    if frame is not None:
        yield frame.f_lasti
        yield dict(frame.f_locals)
        return
    with suppress(Exception):
        if type(value).__module__ == "itertools" and type(value).__name__ == "count":
            yield repr(value)
            return
        reduced = value.__reduce_ex__(4)
        yield from (list(reduced[1:3]) if isinstance(reduced, tuple) else [reduced])
        return
    with suppress(Exception):
        yield dict(vars(value))


class Entry:
    """One place that holds state: how to read it, and how to put a value back."""

    def __init__(
        self, kind: str, name: str, get: Callable[[], Any], put: Callable[[Any], None], file: str = ""
    ) -> None:
        self.kind, self.name, self.get, self.put, self.file = kind, name, get, put, file


class ModuleState:
    """Everything that could leak from one run into the next, as it is now."""

    def __init__(self) -> None:
        self.entries = {entry.name: entry for entry in list(_entries())[:MOST_ENTRIES]}
        self.digests: dict[str, str] = {}
        self.copies: dict[str, Any] = {}
        self.info: dict[str, dict[str, JSON]] = {}
        for name, entry in self.entries.items():
            with suppress(Exception):
                value = entry.get()
                self.digests[name] = fingerprint(value)
                self.copies[name] = _copy(value)
                self.info[name] = _describe(value)
        self.flags = seeding.save_state()

    def changed(self) -> list[dict[str, JSON]]:
        """Return what holds something else now, each with what tells of which kind it is."""
        found: list[dict[str, JSON]] = []
        for entry in list(_entries())[:MOST_ENTRIES]:
            before = self.digests.get(entry.name)
            with suppress(Exception):
                value = entry.get()
                if before == fingerprint(value):
                    continue
                was, now = self.info.get(entry.name, {}), _describe(value)
                found.append(
                    {
                        "name": entry.name,
                        "kind": _kind(entry, self.copies.get(entry.name), value, was),
                        "file": entry.file,
                        "was": str(was.get("text", "absent")),
                        "now": str(now.get("text", "")),
                    }
                )
        for flag in seeding.changed_flags(self.flags):
            found.append({"name": flag, "kind": "framework_flag", "file": "", "was": "", "now": ""})
        return found

    def put_back(self, names: list[str]) -> None:
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
    """Copy a value; of a generator that has not begun, make another from its code and arguments.

    Raises
    ------
    TypeError
        If it cannot be copied, as a generator that has begun.
    """
    if not isinstance(value, types.GeneratorType):
        return copy.deepcopy(value)
    code, frame = value.gi_code, value.gi_frame
    if frame is None or inspect.getgeneratorstate(value) != inspect.GEN_CREATED or code.co_freevars or code.co_cellvars:
        raise TypeError("a generator that has begun has no copy")
    given = dict(frame.f_locals)
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    has_rest = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    if has_rest or sorted(names) != sorted(given):
        raise TypeError("a generator of any number of arguments has no copy")
    positional = [copy.deepcopy(given[name]) for name in names[: code.co_argcount]]
    named = {name: copy.deepcopy(given[name]) for name in names[code.co_argcount :]}
    return types.FunctionType(code, frame.f_globals)(*positional, **named)


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
        if not isinstance(file, str) or not is_users_file(file):
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
            elif not isinstance(value, _CODE):
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
            if not isinstance(cell.cell_contents, _CODE):
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
        elif not isinstance(value, _CODE) and not hasattr(value, "__get__"):
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


def _describe(value: Any) -> dict[str, JSON]:
    """Tell a value in few words, and of an array whether it holds one value alone: a buffer that was just made does."""
    told: dict[str, JSON] = {"type": type(value).__name__}
    with suppress(Exception):
        told["text"] = repr(value)[:80] if isinstance(value, _PLAIN) else type(value).__name__
        if hasattr(value, "dtype") and hasattr(value, "min"):
            told["uniform"] = bool(value.min() == value.max())
    return told


def _kind(entry: Entry, before: Any, after: Any, was: dict[str, JSON]) -> str:
    """Return the name that the taxonomy has for a kind of state."""
    if entry.kind in ("environ", "cache"):
        return entry.kind
    if entry.kind == "default":
        return "mutable_default"
    module = type(after).__module__
    if _is_generator(after):
        return "rng_object"
    if module.startswith("torch") or _holds_modules(after):
        if _only_buffers_differ(before, after):
            return "buffers"
        if hasattr(after, "state_dict"):
            return "module_global"
    if hasattr(after, "dtype") or module.startswith("pandas"):
        return "stale_buffer" if was.get("uniform") else "mutated_data"
    if (
        hasattr(after, "gi_frame")
        or (type(after).__name__.endswith("iterator"))
        or type(after).__name__ in ("cycle", "map", "zip", "filter", "chain", "islice")
    ):
        return "iterator"
    if _holds_changed_data(before, after):
        return "mutated_data"
    return "module_global"


def _holds_changed_data(before: Any, after: Any) -> bool:
    """Tell whether a list's items, or arrays and lists in a dict that was filled before, are what changed."""
    if isinstance(after, list):
        return isinstance(before, list) and bool(before)
    if not isinstance(after, dict) or not isinstance(before, dict):
        return False
    shared = [key for key in after if key in before and fingerprint(after[key]) != fingerprint(before[key])]
    return any(isinstance(after[key], (list, dict)) or hasattr(after[key], "dtype") for key in shared)


def _is_generator(value: Any) -> bool:
    return (
        hasattr(value, "bit_generator")
        or hasattr(value, "getstate")
        or (hasattr(value, "get_state") and hasattr(value, "seed"))
        or hasattr(value, "manual_seed")
    )


def _holds_modules(value: Any) -> bool:
    return isinstance(value, dict) and any(hasattr(item, "named_buffers") for item in value.values())


def _only_buffers_differ(before: Any, after: Any) -> bool:
    """Tell whether of torch modules the buffers alone are what changed, or were made in the run and have any."""
    modules = list(after.values()) if isinstance(after, dict) else [after]
    modules = [module for module in modules if hasattr(module, "named_buffers")]
    if not modules:
        return False
    olds = list(before.values()) if isinstance(before, dict) else [before]
    olds = [module for module in olds if hasattr(module, "named_buffers")]
    if len(olds) != len(modules):
        return any(True for module in modules for _ in module.named_buffers())
    pairs = zip(olds, modules, strict=True)
    return all(fingerprint(list(old.parameters())) == fingerprint(list(new.parameters())) for old, new in pairs)
