"""Parts of one state copied over the same parts of another, while references between parts stay within each state.

An optimizer refers to a model's parameters and a scheduler to its optimizer, so a part cannot simply be exchanged. Its
content is copied instead, and where it refers to another part, the copy refers to that part of its own state.
"""

from __future__ import annotations

import copy
import random
import sys
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from pytest_repro.frameworks.attributes import has_hidden_state, read_attributes

_VALUES = (type(None), bool, int, float, complex, str, bytes, range, type, ModuleType, Enum, np.generic)
#: What refers to code or to another object. The target has its own.
_REFERENCES = (FunctionType, BuiltinFunctionType, MethodType, weakref.ref)
_LEAVES = (*_VALUES, *_REFERENCES, np.ndarray)
#: Objects of a state that are paired. A larger state is data, whose parts do not refer to each other.
_MAX_PAIRED = 200_000


class Twins:
    """The objects of two states of one structure, paired by their place.

    Parameters
    ----------
    source, target : mapping of part -> value
    """

    def __init__(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        self._source, self._target = source, target
        self._twins: dict[int, Any] = {}
        self._owners: dict[int, str] = {}
        #: Keeps every object alive, since a deleted one's id could be given to another.
        self._kept: list[Any] = []
        # Modules first: they own the parameters that optimizers and averages refer to.
        names = sorted(source.keys() & target.keys(), key=lambda name: (not _is_module(source[name]), name))
        for name in names:
            self._pair(name, source[name], target[name])
        for name in names:
            self._pair_inside(name)

    def restore(self, part: str) -> Any:
        """Copy a part of the source over the target's, and return the value to put in its place.

        Objects of the target are changed in place as far as their types allow, because other parts refer to them. What
        cannot be copied, such as a generator's frame, is taken from the source itself.
        """
        return _Copier(part, self._twins, self._owners, self._kept).put(self._source[part], self._target.get(part))

    def find_references(self) -> dict[str, str]:
        """Return where a part of the source refers to another one, as path -> part: ``sched/opt`` -> ``opt``."""
        found: dict[str, str] = {}
        for part, value in self._source.items():
            seen: set[int] = set()
            waiting = [(part, value)]
            while waiting:
                path, value = waiting.pop()
                owner = self._owners.get(id(value), part)
                if owner != part:
                    found[path] = owner
                elif id(value) not in seen and not isinstance(value, _LEAVES):
                    seen.add(id(value))
                    waiting += [(f"{path}/{name}", child) for name, child in _named_children(value)]
        return found

    def _pair(self, part: str, source: Any, target: Any) -> bool:
        if isinstance(source, _LEAVES) and not isinstance(source, np.ndarray):
            return False
        if id(source) in self._twins or type(source) is not type(target) or len(self._twins) >= _MAX_PAIRED:
            return False
        self._twins[id(source)], self._owners[id(source)] = target, part
        self._kept.append(source)
        return True

    def _pair_inside(self, part: str) -> None:
        if self._owners.get(id(self._source[part])) != part:
            return
        waiting = [(self._source[part], self._target[part])]
        while waiting:
            source, target = waiting.pop()
            waiting += [pair for pair in self._children(source, target) if self._pair(part, *pair)]

    def _children(self, source: Any, target: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(source, _LEAVES):
            return
        if isinstance(source, dict):
            for key, value in source.items():
                twin = self._twins.get(id(key), key)
                if twin in target:
                    yield value, target[twin]
        elif isinstance(source, (list, tuple, deque)):
            yield from zip(source, target, strict=False)
        if not isinstance(source, _LEAVES):
            own = dict(read_attributes(target))
            yield from ((value, own[name]) for name, value in read_attributes(source) if name in own)


def _named_children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((str(key), child) for key, child in value.items())
    elif isinstance(value, (list, tuple, deque)):
        yield from ((str(i), child) for i, child in enumerate(value))
    yield from read_attributes(value)


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


class _Copier:
    """Copies one part. What another part owns is replaced by its twin, and not changed."""

    def __init__(self, part: str, twins: dict[int, Any], owners: dict[int, str], kept: list[Any]) -> None:
        self._part, self._twins, self._owners, self._kept = part, twins, owners, kept
        self._done: dict[int, Any] = {}

    def put(self, source: Any, target: Any) -> Any:
        """Return the target with the source's content, or a copy of the source."""
        if isinstance(source, _VALUES):
            return source
        if isinstance(source, _REFERENCES):
            return target if type(target) is type(source) else source
        if id(source) in self._done:
            return self._done[id(source)]
        if self._owners.get(id(source), self._part) != self._part:
            return self._twins[id(source)]
        if isinstance(source, tuple):
            return self._put_tuple(source, target)
        if type(source) is type(target) and source is not target:
            self._done[id(source)] = target
            if self._fill(source, target):
                return target
        self._done[id(source)] = copied = self._copy(source)
        return copied

    def _put_tuple(self, source: tuple[Any, ...], target: Any) -> tuple[Any, ...]:
        before = target if isinstance(target, tuple) else ()
        parts = [self.put(value, before[i] if i < len(before) else None) for i, value in enumerate(source)]
        make = getattr(type(source), "_make", None)
        return make(parts) if make is not None else tuple(parts)

    def _copy(self, source: Any) -> Any:
        memo = {key: twin for key, twin in self._twins.items() if self._owners[key] != self._part}
        try:
            return copy.deepcopy(source, memo)
        except Exception:  # it cannot be copied: a generator's frame, a lock, an open file
            return source

    def _fill(self, source: Any, target: Any) -> bool:
        """Give the target the source's content in place, and return whether its type allows it."""
        if (filled := _fill_known(source, target)) is not None:
            return filled
        kind = type(source)
        if isinstance(source, dict):
            items = [
                (self._key(key), self.put(value, dict.get(target, self._key(key)))) for key, value in source.items()
            ]
            dict.clear(target)
            for key, value in items:
                dict.__setitem__(target, key, value)
        elif isinstance(source, (list, deque)):
            known = list(target)
            items = [self.put(value, known[i] if i < len(known) else None) for i, value in enumerate(source)]
            target.clear()
            target.extend(items)
        elif isinstance(source, set):
            target.clear()
            target.update(source)
        elif has_hidden_state(kind) or any("__del__" in vars(base) for base in kind.__mro__):
            return False
        return self._fill_attributes(source, target)

    def _fill_attributes(self, source: Any, target: Any) -> bool:
        own, before = dict(read_attributes(source)), dict(read_attributes(target))
        for name, value in own.items():
            # The training mode of a module is a part by itself.
            if name == "training" and _is_module(source):
                continue
            object.__setattr__(target, name, self.put(value, before.get(name)))
        for name in before.keys() - own.keys():
            object.__delattr__(target, name)
        return True

    def _key(self, key: Any) -> Any:
        return self._twins.get(id(key), key)


def _fill_known(source: Any, target: Any) -> bool | None:
    """Fill an array, a tensor or a generator, or return None for any other type."""
    if isinstance(source, np.ndarray):
        if source.dtype != target.dtype or source.shape != target.shape or source.dtype.hasobject:
            return False
        if not target.flags.writeable:
            return False
        target[...] = source
        return True
    if isinstance(source, random.Random):
        target.setstate(source.getstate())
        return True
    if isinstance(source, np.random.Generator):
        source, target = source.bit_generator, target.bit_generator
        if type(source) is not type(target):
            return False
    if isinstance(source, np.random.RandomState):
        target.set_state(source.get_state())
        return True
    if isinstance(source, np.random.BitGenerator):
        target.state = source.state
        return True
    if "torch" in sys.modules:
        from pytest_repro.frameworks.torch_functions import fill_tensor

        return fill_tensor(source, target)
    return None
