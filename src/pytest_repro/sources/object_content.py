"""The content of an object and of everything that it holds, recorded to be compared and restored in place.

A copy in place of the object would not do: other objects refer to it, and its parts may be shared. So each mutable
object keeps its identity, and only what it holds is recorded and put back.
"""

from __future__ import annotations

import array
import copy
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from pytest_repro.capturing.fingerprints import CODE, PLAIN, fingerprint
from pytest_repro.sources.module_state import copy_value
from pytest_repro.tracing.user_code import is_user_file

#: Objects recorded below one root. One that holds more cannot be restored.
MAX_OBJECTS = 20_000
#: Packages whose objects belong to the session, and not to the test.
_FOREIGN = ("_pytest", "pytest", "pluggy", "pytest_repro", "xdist", "logging", "threading")


class TooLargeError(Exception):
    """The object holds more than can be recorded."""


class Part(NamedTuple):
    """One mutable object: where it is below its root, whether it has changed, and how to restore it."""

    path: str
    has_changed: Callable[[], bool]
    restore: Callable[[], None]


class Held(NamedTuple):
    """A value that an object holds: how to get it again as it was, and whether another one is the same."""

    get: Callable[[], Any]
    is_same: Callable[[Any], bool]


class Content:
    """The content of one object, as it is now.

    Parameters
    ----------
    root : object

    Attributes
    ----------
    ids : set of int
        Identities of the mutable objects that it holds, the root included.
    is_opaque : bool
        Whether the root itself cannot be restored in place, as an iterator cannot.

    Raises
    ------
    TooLargeError
        If it holds more than `MAX_OBJECTS` objects.
    """

    def __init__(self, root: Any) -> None:
        self.ids: set[int] = set()
        self._kept: list[Any] = []  # no other object gets the id of one of these
        self._parts: list[Part] = []
        self._waiting: list[tuple[str, Any]] = []
        self.is_opaque: bool = not self._add("", root)
        while self._waiting:
            path, value = self._waiting.pop()
            self._parts += self._record(path, value)

    def find_changed(self) -> list[str]:
        """Return where the content has changed: ``['x']`` or ``.step`` below the root, which itself is empty."""
        return [part.path for part in self._parts if _is_true(part.has_changed)]

    def restore(self) -> None:
        """Restore the content."""
        for part in self._parts:
            part.restore()

    def _add(self, path: str, value: Any) -> bool:
        """Take a value that is held, and return whether it keeps its content or can be restored in place."""
        if isinstance(value, PLAIN) or (isinstance(value, CODE) and not isinstance(value, _WITH_STATE)):
            return True
        if id(value) in self.ids:
            return True
        if not _is_restorable(value):
            return False
        if len(self.ids) >= MAX_OBJECTS:
            raise TooLargeError
        self.ids.add(id(value))
        self._kept.append(value)
        self._waiting.append((path, value))
        return True

    def _hold(self, path: str, value: Any) -> Held:
        """Take a value that is held: the object itself, or a copy of one that is opaque."""
        if self._add(path, value):
            return Held(lambda: value, lambda now: _is_same(value, now))
        digest = fingerprint(value)
        try:
            saved = copy_value(value)
        except Exception:
            return Held(lambda: value, lambda now: fingerprint(now) == digest)
        return Held(lambda: copy_value(saved), lambda now: fingerprint(now) == digest)

    def _record(self, path: str, value: Any) -> Iterator[Part]:
        if (generator := _find_generator(value)) is not None:
            read, write = generator
            state, digest = copy.deepcopy(read()), fingerprint(read())
            yield Part(path, lambda: fingerprint(read()) != digest, lambda: write(copy.deepcopy(state)))
            return
        if _is_array(value):
            yield from self._record_array(path, value)
            return
        if isinstance(value, dict):
            items = {key: self._hold(f"{path}[{key!r:.40}]", item) for key, item in dict.items(value)}
            yield Part(path, lambda: not _are_same_items(items, value), lambda: _fill_dict(value, items))
        elif isinstance(value, (list, deque, set, tuple, frozenset)):
            held = [self._hold(f"{path}[{number}]", item) for number, item in enumerate(value)]
            if isinstance(value, (list, deque, set)):
                yield Part(path, lambda: not _are_same(held, list(value)), lambda: _fill(value, held))
        elif isinstance(value, (bytearray, array.array)):
            data: Any = value[:]
            yield Part(path, lambda: value[:] != data, lambda: value.__setitem__(slice(None), data))
        elif isinstance(value, types.MethodType):
            self._add(path, value.__self__)
            self._add(path, value.__func__)
        elif isinstance(value, types.FunctionType):
            yield from self._record_function(path, value)
        if not isinstance(value, _WITH_STATE):
            yield from self._record_attributes(path, value)

    def _record_array(self, path: str, value: Any) -> Iterator[Part]:
        if hasattr(value, "detach"):
            saved = value.detach().clone()
            gradient = value.grad if value.is_leaf else None
            if gradient is not None:
                self._add(f"{path}.grad", gradient)

            def restore() -> None:
                value.data = saved.clone() if value.shape != saved.shape else value.data.copy_(saved)
                if value.is_leaf:
                    value.grad = gradient

            def has_changed() -> bool:
                return fingerprint(value.detach()) != fingerprint(saved) or (
                    value.is_leaf and value.grad is not gradient
                )

            yield Part(path, has_changed, restore)
            return
        elements = value.copy()
        if value.dtype.kind == "O":
            held = [self._hold(f"{path}[{number}]", item) for number, item in enumerate(value.reshape(-1))]
            if value.flags.writeable:
                restore_items = lambda: value.__setitem__(..., elements)  # noqa: E731
                yield Part(path, lambda: not _are_same(held, list(value.reshape(-1))), restore_items)
        elif value.flags.writeable:
            yield Part(
                path, lambda: fingerprint(value) != fingerprint(elements), lambda: value.__setitem__(..., elements)
            )

    def _record_function(self, path: str, value: types.FunctionType) -> Iterator[Part]:
        if not is_user_file(value.__code__.co_filename):
            return
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            with suppress(ValueError):
                held = self._hold(f"{path}:{name}", cell.cell_contents)
                yield _part_of(f"{path}:{name}", cell, "cell_contents", held)
        for defaults in (value.__defaults__, value.__kwdefaults__):
            if defaults is not None:
                self._add(path, defaults)

    def _record_attributes(self, path: str, value: Any) -> Iterator[Part]:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            items = {name: self._hold(f"{path}.{name}", item) for name, item in attributes.items()}
            yield Part(path, lambda: not _are_same_items(items, attributes), lambda: _fill_dict(attributes, items))
        for name in {slot for base in type(value).__mro__ for slot in _slots_of(base)}:
            with suppress(AttributeError):
                held = self._hold(f"{path}.{name}", object.__getattribute__(value, name))
                yield _part_of(f"{path}.{name}", value, name, held)


#: Code that may hold state: a closure, or an object's method.
_WITH_STATE = (types.FunctionType, types.MethodType)
_CONTAINERS = (dict, list, deque, set, tuple, frozenset, bytearray, array.array)


def _is_restorable(value: Any) -> bool:
    if isinstance(value, (*_CONTAINERS, *_WITH_STATE)):
        return True
    module = type(value).__module__.partition(".")[0]
    if module in _FOREIGN:
        return False
    if _is_array(value) or _find_generator(value) is not None:
        return True
    if module == "pandas":
        return bool(getattr(value, "__dict__", None))
    return isinstance(getattr(value, "__dict__", None), dict) or any(map(_slots_of, type(value).__mro__))


def _is_array(value: Any) -> bool:
    """Return whether a value is an array of NumPy or a tensor of torch, which are written in place."""
    if hasattr(value, "detach") and hasattr(value, "copy_") and hasattr(value, "data"):
        return True
    return (
        hasattr(value, "flags") and hasattr(value, "dtype") and hasattr(value, "__array_finalize__") and value.ndim > 0
    )


def _find_generator(value: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]] | None:
    """Return how to read and to write the state of a generator of random numbers."""
    if hasattr(value, "bit_generator"):
        bits = value.bit_generator
        return (lambda: bits.state), lambda state: setattr(bits, "state", state)
    if hasattr(value, "getstate") and hasattr(value, "setstate"):
        return value.getstate, value.setstate
    if hasattr(value, "get_state") and hasattr(value, "set_state") and hasattr(value, "seed"):
        return value.get_state, value.set_state
    if hasattr(value, "random_raw") and hasattr(value, "state"):
        return (lambda: value.state), lambda state: setattr(value, "state", state)
    return None


def _slots_of(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _is_same(before: Any, now: Any) -> bool:
    """Return whether a value is the same object, or a plain value that is equal."""
    if before is now:
        return True
    return type(before) is type(now) and isinstance(before, PLAIN) and bool(before == now)


def _are_same(before: list[Held], now: list[Any]) -> bool:
    return len(before) == len(now) and all(held.is_same(item) for held, item in zip(before, now, strict=True))


def _are_same_items(before: dict[Any, Held], now: dict[Any, Any]) -> bool:
    return list(before) == list(dict.keys(now)) and _are_same(list(before.values()), list(dict.values(now)))


def _part_of(path: str, owner: Any, name: str, held: Held) -> Part:
    put = setattr if isinstance(owner, types.CellType) else object.__setattr__
    return Part(path, lambda: not held.is_same(getattr(owner, name, None)), lambda: put(owner, name, held.get()))


def _fill_dict(target: dict[Any, Any], items: dict[Any, Held]) -> None:
    content = {key: held.get() for key, held in items.items()}
    dict.clear(target)
    dict.update(target, content)


def _fill(target: Any, held: list[Held]) -> None:
    items = [item.get() for item in held]
    target.clear()
    if isinstance(target, set):
        target.update(items)
    else:
        target.extend(items)


def _is_true(claim: Callable[[], bool]) -> bool:
    try:
        return claim()
    except Exception:
        return True
